//! What an agent may ask, and the answers.

use std::ops::Bound;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::ground::STACK;
use super::serve::{Keeper, Kept, Waiting};
use crate::error::Refusal;
use crate::message::{Answer, PAGE, Request};
use crate::spec::{Sandbox, check_name};
use crate::stack::Stack;
use crate::syscall;

impl Keeper {
    pub(super) fn answer(&mut self, waiting: Waiting, request: Request, files: Vec<OwnedFd>) {
        let answer = match request {
            Request::Start(spec) => match self.start(waiting, *spec, files) {
                // Told when it execs.
                Ok(None) => return,
                Ok(Some(sandbox)) => Ok(Answer::Sandbox(sandbox)),
                Err(refusal) => Err(refusal),
            },
            Request::Release { name } => {
                if !self.release(waiting, &name) {
                    return;
                }
                Ok(Answer::Done)
            }
            Request::Ping => Ok(Answer::Done),
            Request::Define { name, targets } => self.define(&name, &targets, &files),
            Request::Signal { name, signal } => self.signal(&name, signal),
            Request::Look { name } => self.look(&name).map(Answer::Sandbox),
            Request::List { after } => Ok(self.page(after)),
            Request::Freeze { name, frozen } => self.freeze(&name, frozen),
            Request::Leave => {
                self.leaves = true;
                Ok(Answer::Done)
            }
        };
        self.tell(waiting, answer);
    }

    fn define(
        &mut self,
        name: &str,
        targets: &[PathBuf],
        files: &[OwnedFd],
    ) -> Result<Answer, Refusal> {
        check_name(name)?;
        let stack = Stack::make(&self.home, Path::new(STACK), targets, files)?;
        self.stacks.insert(name.to_owned(), stack);
        Ok(Answer::Done)
    }

    fn signal(&self, name: &str, signal: i32) -> Result<Answer, Refusal> {
        let kept = self.find(name)?;
        // It has ended already, which is what a signal is for.
        if let Some(pidfd) = &kept.pidfd
            && let Err(error) = syscall::pidfd_signal(pidfd.as_fd(), signal)
            && error.raw_os_error() != Some(libc::ESRCH)
        {
            return Err(Refusal::failed("send the signal", &error));
        }
        Ok(Answer::Done)
    }

    fn freeze(&self, name: &str, frozen: bool) -> Result<Answer, Refusal> {
        self.find(name)?;
        let frozen = self.cgroups.group(name).freeze(frozen);
        frozen.map_err(|error| Refusal::failed("freeze it", &error))?;
        Ok(Answer::Done)
    }

    fn look(&self, name: &str) -> Result<Sandbox, Refusal> {
        Ok(self.find(name)?.record.sandbox.clone())
    }

    fn page(&self, after: Option<String>) -> Answer {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let page = self.kept.range((begin, Bound::Unbounded)).take(PAGE);
        Answer::Page(page.map(|(_, kept)| kept.record.sandbox.clone()).collect())
    }

    fn find(&self, name: &str) -> Result<&Kept, Refusal> {
        let kept = self.kept.get(name);
        kept.ok_or_else(|| Refusal::NoSandbox(name.to_owned()))
    }

    /// True when it is done; else the answer comes with the end.
    fn release(&mut self, waiting: Waiting, name: &str) -> bool {
        let Some(kept) = self.kept.get_mut(name) else {
            return true;
        };
        kept.releasing.push(waiting);
        match &kept.pidfd {
            Some(pidfd) => {
                // Frozen, it would not hear the kill.
                self.cgroups.group(name).freeze(false).unwrap_or_default();
                syscall::pidfd_signal(pidfd.as_fd(), libc::SIGKILL).unwrap_or_default();
            }
            None => {
                self.unclean.insert(name.to_owned());
            }
        }
        false
    }
}
