//! Block devices whose content is a file, without starting `mount` or `losetup` for each.
//!
//! The device frees itself with its last user, so whoever mounts it has nothing to remember.
#![allow(unsafe_code, reason = "the loop driver is spoken to by ioctl alone")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

const CONTROL: &str = "/dev/loop-control";
/// Of `linux/loop.h`.
const LOOP_CTL_GET_FREE: u64 = 0x4C82;
const LOOP_CONFIGURE: u64 = 0x4C0A;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
/// The block of the file systems on it, bytes: smaller ones would only be split up.
const BLOCK_BYTES: u32 = 4096;
/// Others may take a free device before it is configured; each has to win once in so many times.
const ATTEMPTS_MAX: u32 = 64;

nix::ioctl_write_ptr_bad!(configure, LOOP_CONFIGURE, Config);
nix::ioctl_none_bad!(get_free, LOOP_CTL_GET_FREE);

/// `struct loop_info64`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// A device that lives for as long as this or a mount of it.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _held: File,
}

impl LoopDevice {
    /// Make a device of a file that is open for reading and writing.
    pub fn attach(backing: &File) -> io::Result<Self> {
        let control = OpenOptions::new().read(true).write(true).open(CONTROL)?;
        let fd = u32::try_from(backing.as_raw_fd()).map_err(io::Error::other)?;
        for _ in 0..ATTEMPTS_MAX {
            // SAFETY: the driver takes no argument and returns a number.
            let number = unsafe { get_free(control.as_raw_fd()) }?;
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = OpenOptions::new().read(true).write(true).open(&path)?;
            let config = config(fd);
            // SAFETY: `Config` has the layout that the driver reads, and lives through the call.
            match unsafe { configure(device.as_raw_fd(), &raw const config) } {
                Ok(_) => {
                    let _held = device;
                    return Ok(Self { path, _held });
                }
                // Taken by somebody else in between.
                Err(Errno::EBUSY) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Errno::EBUSY.into())
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn config(fd: u32) -> Config {
    Config {
        fd,
        block_size: BLOCK_BYTES,
        info: Info {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_structures_have_their_size() {
        assert_eq!(size_of::<Info>(), 232);
        assert_eq!(size_of::<Config>(), 304);
    }
}
