//! Room on a disk that the application shares.

use std::os::fd::AsFd;

use nix::sys::statvfs::fstatvfs;

use crate::error::{Context, Error, Result};

/// What must stay free for the application to go on writing, in bytes.
const MARGIN: u64 = 16 * 1024 * 1024;

/// Refuses unless `needed` bytes fit on the file system of `file` and leave the application room to write.
pub fn require(file: impl AsFd, needed: u64, what: &str) -> Result<()> {
    let disk = fstatvfs(file).context("cannot ask for the free space")?;
    let free = disk.blocks_available() as u64 * disk.fragment_size() as u64;
    if free >= needed + MARGIN {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{what} needs {} MB and leaves {} MB for others, but {} MB are free; make room on that disk, and copy again",
        needed.div_ceil(1_000_000),
        MARGIN / 1_000_000,
        free / 1_000_000
    )))
}
