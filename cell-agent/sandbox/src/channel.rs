//! A socket between agent and keeper: whole messages, with open files beside them.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr, accept4, bind, connect, getsockopt, listen, recvmsg, sendmsg, setsockopt, socket,
    sockopt,
};
use nix::sys::stat::Mode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{SandboxError, errno, io};
use crate::message::{FILES_MAX, MESSAGE_BYTES_MAX};

/// The keeper's socket, in its folder.
const SOCKET: &str = "keeper.sock";
/// What may wait for a slow reader, bytes: the ends of a whole cell's instances at once.
const BUFFER_BYTES: usize = 4 << 20;
/// Agents that may wait to be accepted: there is one, and its successor.
const BACKLOG: i32 = 8;

/// One end, never blocking: a call that would have to wait says `WouldBlock`.
#[derive(Debug)]
pub struct Channel {
    fd: OwnedFd,
}

/// The keeper's listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
}

impl Channel {
    /// To the keeper of a folder.
    pub fn connect(folder: &Path) -> Result<Self, SandboxError> {
        let fd = new_socket()?;
        with_address(folder, |address| connect(fd.as_raw_fd(), address))
            .map_err(errno("reach the keeper"))?;
        Self::of(fd)
    }

    fn of(fd: OwnedFd) -> Result<Self, SandboxError> {
        // Credentials are those of whoever made the other end, whoever holds it now.
        let peer = getsockopt(&fd, sockopt::PeerCredentials).map_err(errno("ask for the peer"))?;
        if peer.uid() != nix::unistd::geteuid().as_raw() {
            return Err(SandboxError::Stranger);
        }
        setsockopt(&fd, sockopt::SndBufForce, &BUFFER_BYTES).map_err(errno("size a socket"))?;
        Ok(Self { fd })
    }

    /// The same socket, for whoever waits until it is ready; its own reads would cut messages.
    pub fn readiness(&self) -> io::Result<UnixStream> {
        Ok(self.fd.try_clone()?.into())
    }

    pub fn send<T: Serialize>(
        &self,
        message: &T,
        files: &[BorrowedFd<'_>],
    ) -> Result<(), SandboxError> {
        let text = serde_json::to_vec(message)
            .map_err(|error| SandboxError::Malformed(error.to_string()))?;
        if text.len() > MESSAGE_BYTES_MAX || files.len() > FILES_MAX {
            return Err(SandboxError::TooLong(text.len()));
        }
        let raw: Vec<RawFd> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let beside = if raw.is_empty() { &[][..] } else { &rights };
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let parts = [IoSlice::new(&text)];
        sendmsg::<()>(self.fd.as_raw_fd(), &parts, beside, flags, None)
            .map_err(errno("send a message"))?;
        Ok(())
    }

    /// The next message and its files; none when the other side has gone.
    pub fn receive<T: DeserializeOwned>(&self) -> Result<Option<(T, Vec<OwnedFd>)>, SandboxError> {
        let mut text = vec![0; MESSAGE_BYTES_MAX];
        let mut beside = nix::cmsg_space!([RawFd; FILES_MAX]);
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let (length, is_whole, files) = {
            let mut parts = [IoSliceMut::new(&mut text)];
            let fd = self.fd.as_raw_fd();
            let got = recvmsg::<()>(fd, &mut parts, Some(&mut beside), flags)
                .map_err(errno("receive a message"))?;
            let cut = MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC;
            let files = got.cmsgs().map(own_files).unwrap_or_default();
            (got.bytes, !got.flags.intersects(cut), files)
        };
        if length == 0 {
            return Ok(None);
        }
        if !is_whole {
            return Err(SandboxError::TooLong(MESSAGE_BYTES_MAX));
        }
        let message = serde_json::from_slice(text.get(..length).unwrap_or_default())
            .map_err(|error| SandboxError::Malformed(error.to_string()))?;
        Ok(Some((message, files)))
    }
}

/// The files of a message, which would stay open if nobody owned them.
fn own_files(messages: nix::sys::socket::CmsgIterator<'_>) -> Vec<OwnedFd> {
    let rights = messages.filter_map(|message| match message {
        ControlMessageOwned::ScmRights(raw) => Some(raw),
        _ => None,
    });
    rights
        .flatten()
        // SAFETY: the kernel has just made these descriptors for us, and nobody else knows them.
        .map(|raw| unsafe { OwnedFd::from_raw_fd(raw) })
        .collect()
}

impl Listener {
    /// In a folder that only root may enter; what an earlier keeper left there is replaced.
    pub(crate) fn bind(folder: &Path) -> Result<Self, SandboxError> {
        match std::fs::remove_file(folder.join(SOCKET)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io("remove the old socket")(error));
            }
            _ => {}
        }
        let fd = new_socket()?;
        with_address(folder, |address| bind(fd.as_raw_fd(), address))
            .map_err(errno("make the socket"))?;
        let backlog = Backlog::new(BACKLOG).map_err(errno("listen"))?;
        listen(&fd, backlog).map_err(errno("listen"))?;
        Ok(Self { fd })
    }

    pub(crate) fn accept(&self) -> Result<Channel, SandboxError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let raw = accept4(self.fd.as_raw_fd(), flags).map_err(errno("accept"))?;
        // SAFETY: the kernel has just made it for us.
        Channel::of(unsafe { OwnedFd::from_raw_fd(raw) })
    }
}

fn new_socket() -> Result<OwnedFd, SandboxError> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Unix, SockType::SeqPacket, flags, None).map_err(errno("make a socket"))
}

/// An address has 108 bytes and a folder's path may have more: through the open folder it is short.
fn with_address<T>(
    folder: &Path,
    use_it: impl FnOnce(&UnixAddr) -> nix::Result<T>,
) -> nix::Result<T> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let open = open(folder, flags, Mode::empty())?;
    let path = format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd());
    use_it(&UnixAddr::new(path.as_str())?)
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn messages_arrive_whole_with_their_files_and_the_end_is_seen() {
        let folder =
            std::env::temp_dir().join(format!("cfx-{}-{}", std::process::id(), "x".repeat(90)));
        std::fs::create_dir_all(&folder).expect("a folder");
        let listener = Listener::bind(&folder).expect("bound");
        let one = Channel::connect(&folder).expect("connected");
        let two = listener.accept().expect("accepted");
        let waits = two.receive::<String>().expect_err("nothing is there");
        assert!(
            matches!(waits, SandboxError::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock)
        );
        let file = std::fs::File::open("/proc/self/comm").expect("a file");
        one.send(&"first", &[file.as_fd()]).expect("sent");
        one.send(&"second", &[]).expect("sent");
        let (text, files) = two.receive::<String>().expect("received").expect("one");
        assert_eq!((text.as_str(), files.len()), ("first", 1));
        let mut content = String::new();
        let mut file = std::fs::File::from(files.into_iter().next().expect("a file"));
        file.read_to_string(&mut content).expect("read");
        assert!(!content.is_empty());
        let (text, files) = two.receive::<String>().expect("received").expect("one");
        assert_eq!((text.as_str(), files.len()), ("second", 0));
        one.send(&"x".repeat(MESSAGE_BYTES_MAX), &[])
            .expect_err("too long");
        drop(one);
        assert!(two.receive::<String>().expect("the end").is_none());
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
