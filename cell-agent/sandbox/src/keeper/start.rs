//! A start: group, clone, record, word; then the child execs or says why not.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::CloneFlags;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use super::record::{Life, Record};
use super::serve::{Keeper, Kept, Source, Starting, Waiting, unwatch, watch};
use crate::error::{Refusal, SandboxError};
use crate::inside::{self, FAILURE_BYTES_MAX, GO, Plan};
use crate::message::Answer;
use crate::spec::{Sandbox, Spec, check_name};
use crate::syscall::{self, Cloned};

/// What every sandbox has for itself from the first moment. The namespace of groups follows when it
/// is in its group, that of mounts in its stack, that of users last of all.
const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWPID
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS);

impl Keeper {
    /// The sandbox when it is there already; none when the answer comes with its exec.
    pub(super) fn start(
        &mut self,
        waiting: Waiting,
        spec: Spec,
        files: Vec<OwnedFd>,
    ) -> Result<Option<Sandbox>, Refusal> {
        check_name(&spec.name)?;
        if let Some(kept) = self.kept.get_mut(&spec.name) {
            return Ok(match &mut kept.starting {
                Some(starting) => {
                    starting.waiting.push(waiting);
                    None
                }
                None => Some(kept.record.sandbox.clone()),
            });
        }
        let begun = self.begin(waiting, &spec, files);
        if begun.is_err() && !self.kept.contains_key(&spec.name) {
            self.unclean.insert(spec.name);
        }
        begun.map(|()| None)
    }

    fn begin(&mut self, waiting: Waiting, spec: &Spec, files: Vec<OwnedFd>) -> Result<(), Refusal> {
        let stack = self.stacks.get(&spec.stack);
        let stack = stack.ok_or_else(|| Refusal::NoStack(spec.stack.clone()))?;
        let group = self
            .cgroups
            .make(&spec.name, &spec.limits)
            .map_err(|error| Refusal::failed("make its control groups", &error))?;
        let (own, childs) = words().map_err(|error| Refusal::failed("make a socket", &error))?;
        let plan = Plan::new(spec, stack, &group, &self.masks, &self.filter, files)?;
        let entrance = group
            .entrance()
            .map_err(|error| Refusal::failed("open its control group", &error))?;
        let mut namespaces = NAMESPACES;
        if !spec.has_network {
            namespaces |= CloneFlags::CLONE_NEWNET;
        }
        // SAFETY: the keeper has one thread.
        let cloned =
            unsafe { syscall::clone(namespaces.bits(), entrance.as_ref().map(AsFd::as_fd)) };
        match cloned.map_err(|error| Refusal::failed("clone its first process", &error))? {
            Cloned::Child => {
                // With a copy of the keeper's end it would never learn that the keeper has gone.
                drop(own);
                inside::run(&plan, &childs);
                std::process::exit(1)
            }
            Cloned::Parent { pid, pidfd } => {
                drop((plan, childs));
                let kept = self.record(waiting, spec, pid, pidfd, own);
                kept.map_err(|error| Refusal::failed("keep its record", &error))
            }
        }
    }

    fn record(
        &mut self,
        waiting: Waiting,
        spec: &Spec,
        pid: u32,
        pidfd: OwnedFd,
        child: OwnedFd,
    ) -> Result<(), SandboxError> {
        let number = self.number();
        let sandbox = Sandbox {
            name: spec.name.clone(),
            pid,
            slot: spec.slot.clone(),
            labels: spec.labels.clone(),
            ended: None,
        };
        let io = crate::error::io;
        let life = Life::of(pid, &self.boot).map_err(io("read about the process"));
        let recorded = life.and_then(|life| {
            let record = Record { sandbox, life };
            record.save().map_err(io("write"))?;
            watch(&self.epoll, &pidfd, Source::End(number))?;
            watch(&self.epoll, &child, Source::Start(number))?;
            Ok(record)
        });
        // Without the word, which it does not get now, the child ends by itself.
        let record = recorded?;
        // If it has ended already, its end is told.
        send(child.as_raw_fd(), GO, MsgFlags::MSG_NOSIGNAL).unwrap_or(0);
        self.keep(Kept {
            record,
            number,
            pidfd: Some(pidfd),
            is_child: true,
            starting: Some(Starting {
                child,
                waiting: vec![waiting],
                failure: None,
            }),
            releasing: Vec::new(),
        });
        Ok(())
    }

    /// A starting child has execed, or said why not, or has just ended.
    pub(super) fn started(&mut self, name: &str) {
        let Some(kept) = self.kept.get_mut(name) else {
            return;
        };
        let has_ended = kept.pidfd.is_none();
        let Some(starting) = &mut kept.starting else {
            return;
        };
        match hear(&starting.child) {
            Ok(Some(failure)) => starting.failure = Some(failure),
            // Not yet; or never, if it was killed.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !has_ended => return,
            _ => {}
        }
        if starting.failure.is_some() && !has_ended {
            // Its end comes next, and is told then.
            return;
        }
        let Some(starting) = kept.starting.take() else {
            return;
        };
        unwatch(&self.epoll, &starting.child);
        let answer = match starting.failure {
            Some(failure) => Err(failure),
            None => Ok(Answer::Sandbox(kept.record.sandbox.clone())),
        };
        if answer.is_err() && kept.releasing.is_empty() {
            self.forget(name);
        }
        for waiting in starting.waiting {
            self.tell(waiting, answer.clone());
        }
    }
}

/// The keeper's end, which does not wait, and the child's, which does.
fn words() -> nix::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let (own, childs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    fcntl(&own, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((own, childs))
}

/// Why the child failed; none when it has execed, which closes its end.
fn hear(child: &OwnedFd) -> io::Result<Option<Refusal>> {
    let mut text = [0; FAILURE_BYTES_MAX];
    let length = recv(child.as_raw_fd(), &mut text, MsgFlags::MSG_DONTWAIT)?;
    let told = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
    Ok(told.split_once('\n').map(|(step, detail)| Refusal::Failed {
        step: step.to_owned(),
        detail: detail.to_owned(),
    }))
}
