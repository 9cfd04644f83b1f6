//! What a new keeper finds: records of sandboxes that run or have ended, and groups of nobody.

use std::os::fd::OwnedFd;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::complain;
use super::record::{self, Life, Record};
use super::serve::{Keeper, Kept, Source, watch};
use crate::error::{SandboxError, io};
use crate::spec::Ended;
use crate::syscall;

pub(super) fn take_over(keeper: &mut Keeper) -> Result<(), SandboxError> {
    let (records, damaged) = record::load().map_err(io("read the records"))?;
    for record in records {
        take(keeper, record)?;
    }
    for name in damaged {
        // Whatever it was, its group is nobody's now.
        record::remove(&name).map_err(io("remove a damaged record"))?;
    }
    for name in keeper.cgroups.list()? {
        if !keeper.kept.contains_key(&name) {
            end_stray(keeper, name);
        }
    }
    Ok(())
}

fn take(keeper: &mut Keeper, mut record: Record) -> Result<(), SandboxError> {
    let number = keeper.number();
    let pidfd = match record.sandbox.ended {
        Some(_) => None,
        None => running(&record, &keeper.boot),
    };
    let name = record.sandbox.name.clone();
    if pidfd.is_none() {
        // It ended while no keeper lived.
        let out_of_memory = keeper.cgroups.group(&name).oom_kills() > 0;
        let ended = Ended {
            status: None,
            out_of_memory,
        };
        if record.sandbox.ended.is_none() {
            record.sandbox.ended = Some(ended);
            record.save().map_err(io("write a record"))?;
        }
        keeper.unclean.insert(name);
    }
    if let Some(pidfd) = &pidfd {
        watch(&keeper.epoll, pidfd, Source::End(number))?;
    }
    keeper.keep(Kept::adopted(record, number, pidfd));
    Ok(())
}

/// Its process, if that is still the same one.
fn running(record: &Record, boot: &str) -> Option<OwnedFd> {
    let pidfd = syscall::pidfd_open(record.sandbox.pid).ok()?;
    // Looked at after it is held: held, its number cannot become another's.
    let life = Life::of(record.sandbox.pid, boot).ok()?;
    (life == record.life).then_some(pidfd)
}

/// The keeper before this one died between making a group and writing a record.
fn end_stray(keeper: &mut Keeper, name: String) {
    for pid in keeper.cgroups.group(&name).processes() {
        let Ok(pid) = i32::try_from(pid) else {
            continue;
        };
        if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL) {
            complain(&error);
        }
    }
    keeper.unclean.insert(name);
}
