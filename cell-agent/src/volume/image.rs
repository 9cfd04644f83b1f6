//! Copies an image without its holes.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{Whence, lseek64};

/// The copy has the same bytes and takes as little disk.
pub(super) fn copy_sparse(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = File::create_new(to)?;
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut position = 0;
    while let Some((start, end)) = next_data(&source, position)? {
        copy_range(&source, &target, start, end)?;
        position = end;
    }
    Ok(())
}

/// The first stretch of data at or after a position.
fn next_data(file: &File, position: i64) -> io::Result<Option<(i64, i64)>> {
    let start = match lseek64(file.as_fd(), position, Whence::SeekData) {
        Ok(start) => start,
        Err(Errno::ENXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let end = lseek64(file.as_fd(), start, Whence::SeekHole)?;
    Ok(Some((start, end)))
}

fn copy_range(source: &File, target: &File, start: i64, end: i64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let left = usize::try_from(end - from).unwrap_or(usize::MAX);
        let copied =
            nix::fcntl::copy_file_range(source, Some(&mut from), target, Some(&mut to), left)?;
        if copied == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}
