//! The filter is run here, instruction by instruction, as the kernel runs it.

use super::*;

const ALLOWED: u32 = libc::SECCOMP_RET_ALLOW;

/// What the filter says about a call.
fn judge(architecture: u32, number: u32, argument: u32) -> u32 {
    let program = Filter::compile().program;
    let (mut accumulator, mut at) = (0, 0);
    loop {
        let one = &program[at];
        at += 1;
        let taken = match one.code {
            LOAD => {
                accumulator = match one.k {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    FIRST_ARGUMENT => argument,
                    other => panic!("nothing is at {other}"),
                };
                continue;
            }
            RETURN => return one.k,
            JUMP_EQUAL => accumulator == one.k,
            JUMP_AT_LEAST => accumulator >= one.k,
            JUMP_ANY_BIT => accumulator & one.k != 0,
            other => panic!("unknown instruction {other}"),
        };
        at += usize::from(if taken { one.jt } else { one.jf });
    }
}

fn here(number: libc::c_long, argument: u32) -> u32 {
    judge(OWN_ARCHITECTURE, small(number), argument)
}

fn refused(errno: i32) -> u32 {
    refuse(errno).k
}

#[test]
fn what_is_listed_is_allowed_and_nothing_else() {
    let verdicts = verdicts();
    let newest = *verdicts.keys().last().expect("some are listed");
    for number in 0..=newest + 100 {
        let expected = match verdicts.get(&number) {
            Some(Verdict::Allow) => ALLOWED,
            Some(_) => continue,
            None if number > newest => refused(libc::ENOSYS),
            None => refused(libc::EPERM),
        };
        let judged = judge(OWN_ARCHITECTURE, number, 0);
        assert_eq!(judged, expected, "system call {number}");
    }
}

#[test]
fn what_reaches_beyond_the_instance_is_refused() {
    for number in [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_setns,
        libc::SYS_unshare,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_fsopen,
        libc::SYS_mount_setattr,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_io_uring_setup,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_open_by_handle_at,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kcmp,
        libc::SYS_swapon,
        libc::SYS_acct,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_sethostname,
        libc::SYS_syslog,
        libc::SYS_quotactl,
        libc::SYS_fanotify_init,
        libc::SYS_lookup_dcookie,
    ] {
        assert_eq!(here(number, 0), refused(libc::EPERM), "{number}");
    }
}

#[test]
fn arguments_decide_where_they_must() {
    let threads = (libc::CLONE_VM | libc::CLONE_THREAD).cast_unsigned();
    assert_eq!(here(libc::SYS_clone, threads), ALLOWED);
    for namespace in [libc::CLONE_NEWUSER, libc::CLONE_NEWNET, libc::CLONE_NEWNS] {
        let flags = threads | namespace.cast_unsigned();
        assert_eq!(here(libc::SYS_clone, flags), refused(libc::EPERM));
    }
    assert_eq!(here(libc::SYS_clone3, 0), refused(libc::ENOSYS));
    for (family, judged) in [
        (libc::AF_UNIX, ALLOWED),
        (libc::AF_INET, ALLOWED),
        (libc::AF_INET6, ALLOWED),
        (libc::AF_NETLINK, ALLOWED),
        (libc::AF_VSOCK, refused(libc::EAFNOSUPPORT)),
        (libc::AF_PACKET, refused(libc::EAFNOSUPPORT)),
        (libc::AF_ALG, refused(libc::EAFNOSUPPORT)),
    ] {
        let family = family.cast_unsigned();
        assert_eq!(here(libc::SYS_socket, family), judged, "family {family}");
    }
    assert_eq!(here(libc::SYS_personality, u32::MAX), ALLOWED);
    let no_randomisation = 0x4_0000;
    let judged = here(libc::SYS_personality, no_randomisation);
    assert_eq!(judged, refused(libc::EPERM));
}

#[test]
fn another_architecture_s_calls_are_refused() {
    let i386 = 0x4000_0003;
    assert_eq!(judge(i386, 3, 0), refused(libc::EPERM));
    // x32 has its own numbers, marked by a bit.
    let x32 = 0x4000_0000;
    let judged = judge(OWN_ARCHITECTURE, x32 | small(libc::SYS_read), 0);
    assert_eq!(judged, refused(libc::ENOSYS));
}

#[test]
fn the_program_is_short_enough_for_its_jumps_and_for_every_start() {
    let program = Filter::compile().program;
    assert!(program.len() < 255, "{} instructions", program.len());
}
