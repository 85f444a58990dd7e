//! Writing to the disk.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::fcntl::{fcntl, FcntlArg, OFlag};

/// Begins to write back a range of the file, and returns. ESPIPE or an error of a missing call: the file system
/// cannot write ranges.
pub fn begin_write_back(file: &File, at: u64, length: u64) -> io::Result<()> {
    sync_range(file, at, length, libc::SYNC_FILE_RANGE_WRITE)
}

/// The same, and waits until the range is written.
pub fn finish_write_back(file: &File, at: u64, length: u64) -> io::Result<()> {
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, at, length, flags)
}

fn sync_range(file: &File, at: u64, length: u64, flags: libc::c_uint) -> io::Result<()> {
    // SAFETY: the descriptor is open for the length of the call, which takes no pointer.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), at as _, length as _, flags) };
    nix::errno::Errno::result(answer)?;
    Ok(())
}

/// Makes writes to `file` go past the page cache, or through it.
pub fn pass_cache(file: &File, past: bool) -> io::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_DIRECT, past);
    fcntl(file, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Syncs the whole file system of `file`.
pub fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(nix::unistd::syncfs(file)?)
}
