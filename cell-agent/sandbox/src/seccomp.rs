//! The filter of system calls, compiled once and installed in every instance.
//!
//! The kernel runs a new filter for each system call there is, to remember which are simply
//! allowed, so a filter's length is paid at every start: a list compared entry by entry (1,655
//! instructions for this profile) took 3 ms, the binary search here takes 0.2.
//!
//! ```text
//! other architecture -> EPERM        unknown to this profile, and newer than it -> ENOSYS
//! number < middle ? left half : right half ... -> allowed | EPERM | a look at the arguments
//! ```

mod allowed;

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, sock_filter};

use allowed::{EVERYWHERE, FAMILIES, HERE, NAMESPACES, PERSONALITIES};

const LOAD: u16 = code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS);
const JUMP_EQUAL: u16 = code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
const JUMP_AT_LEAST: u16 = code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K);
const JUMP_ANY_BIT: u16 = code(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K);
const RETURN: u16 = code(libc::BPF_RET | libc::BPF_K);

#[allow(clippy::cast_possible_truncation, reason = "codes have 16 bits")]
const fn code(bits: u32) -> u16 {
    bits as u16
}

/// Offsets in `struct seccomp_data`: number, architecture, then pointer, then arguments.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
/// The lower half of the first argument, on the little-endian machines that this runs on.
const FIRST_ARGUMENT: u32 = 16;

#[cfg(target_arch = "x86_64")]
const OWN_ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const OWN_ARCHITECTURE: u32 = 0xc000_00b7;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allow,
    Refuse(i32),
    /// Allowed when the first argument has none of these bits, else EPERM.
    UnlessBits(u32),
    /// Allowed when the first argument is one of these, else refused with the number.
    OneOf(&'static [u32], i32),
}

/// A filter that can be installed again and again.
#[derive(Debug, Clone)]
pub struct Filter {
    program: BpfProgram,
}

/// The filter could not be installed: the kernel has none, or not enough memory.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the filter of system calls")]
pub struct FilterError(#[from] seccompiler::Error);

impl Filter {
    #[must_use]
    pub fn compile() -> Self {
        let mut program = vec![
            load(ARCHITECTURE),
            jump(JUMP_EQUAL, OWN_ARCHITECTURE, 1, 0),
            refuse(libc::EPERM),
            load(NUMBER),
        ];
        search(&ranges(&verdicts()), &mut program);
        Self { program }
    }

    /// From now on for this thread and what it starts; also forbids it to gain privileges.
    pub fn install(&self) -> Result<(), FilterError> {
        Ok(seccompiler::apply_filter(&self.program)?)
    }
}

fn verdicts() -> BTreeMap<u32, Verdict> {
    const FAMILY_NUMBERS: &[u32] = &[
        FAMILIES[0].cast_unsigned(),
        FAMILIES[1].cast_unsigned(),
        FAMILIES[2].cast_unsigned(),
        FAMILIES[3].cast_unsigned(),
    ];
    let allowed = EVERYWHERE.iter().chain(HERE);
    let mut verdicts: BTreeMap<u32, Verdict> = allowed
        .map(|number| (small(*number), Verdict::Allow))
        .collect();
    let special = [
        (libc::SYS_clone, Verdict::UnlessBits(NAMESPACES)),
        // Its flags are in memory, where a filter cannot look; libraries fall back to clone.
        (libc::SYS_clone3, Verdict::Refuse(libc::ENOSYS)),
        (
            libc::SYS_personality,
            Verdict::OneOf(&PERSONALITIES, libc::EPERM),
        ),
        (
            libc::SYS_socket,
            Verdict::OneOf(FAMILY_NUMBERS, libc::EAFNOSUPPORT),
        ),
    ];
    verdicts.extend(special.map(|(number, verdict)| (small(number), verdict)));
    verdicts
}

fn small(number: libc::c_long) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Where each verdict begins, from number 0 up. What is newer than all of this does not exist.
fn ranges(verdicts: &BTreeMap<u32, Verdict>) -> Vec<(u32, Verdict)> {
    let mut ranges: Vec<(u32, Verdict)> = Vec::new();
    let mut begin = |number: u32, verdict: Verdict| {
        if ranges.last().is_none_or(|(_, last)| *last != verdict) {
            ranges.push((number, verdict));
        }
    };
    let mut next = 0;
    for (number, verdict) in verdicts {
        if *number > next {
            begin(next, Verdict::Refuse(libc::EPERM));
        }
        begin(*number, *verdict);
        next = number + 1;
    }
    begin(next, Verdict::Refuse(libc::ENOSYS));
    ranges
}

/// A binary search as code: the left half follows its comparison, the right half follows that.
fn search(ranges: &[(u32, Verdict)], program: &mut BpfProgram) {
    let (left, right) = ranges.split_at(ranges.len() / 2);
    match (left.is_empty(), right.first()) {
        (true, Some((_, verdict))) => decide(*verdict, program),
        (false, Some((begin, _))) => {
            let mut lower = Vec::new();
            search(left, &mut lower);
            // A jump is at most 255 long; `the_program_is_short_enough` holds it.
            let over = u8::try_from(lower.len()).unwrap_or(u8::MAX);
            program.push(jump(JUMP_AT_LEAST, *begin, over, 0));
            program.append(&mut lower);
            search(right, program);
        }
        (_, None) => {}
    }
}

fn decide(verdict: Verdict, program: &mut BpfProgram) {
    match verdict {
        Verdict::Allow => program.push(allow()),
        Verdict::Refuse(errno) => program.push(refuse(errno)),
        Verdict::UnlessBits(bits) => program.extend([
            load(FIRST_ARGUMENT),
            jump(JUMP_ANY_BIT, bits, 1, 0),
            allow(),
            refuse(libc::EPERM),
        ]),
        Verdict::OneOf(values, errno) => {
            program.push(load(FIRST_ARGUMENT));
            for (value, left) in values.iter().zip((1..=values.len()).rev()) {
                // Over the comparisons that are left and over the refusal.
                let over = u8::try_from(left).unwrap_or(u8::MAX);
                program.push(jump(JUMP_EQUAL, *value, over, 0));
            }
            program.extend([refuse(errno), allow()]);
        }
    }
}

fn load(offset: u32) -> sock_filter {
    statement(LOAD, offset)
}

fn allow() -> sock_filter {
    statement(RETURN, libc::SECCOMP_RET_ALLOW)
}

fn refuse(errno: i32) -> sock_filter {
    let data = errno.cast_unsigned() & libc::SECCOMP_RET_DATA;
    statement(RETURN, libc::SECCOMP_RET_ERRNO | data)
}

fn statement(code: u16, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests;
