//! Writing to the disk. A sync of the standard library is an F_FULLFSYNC here, which empties the disk's own cache.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// Begins to write back a range of the file: macOS cannot write ranges.
pub fn begin_write_back(_file: &File, _at: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Hands what was written to the disk. Its cache is emptied by the sync at the end.
pub fn finish_write_back(file: &File, _at: u64, _length: u64) -> io::Result<()> {
    Ok(nix::unistd::fsync(file)?)
}

/// Makes writes to `file` go past the page cache, or through it.
pub fn pass_cache(file: &File, past: bool) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the call takes no pointer.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_NOCACHE, libc::c_int::from(past)) })?;
    Ok(())
}

/// Syncs all file systems, which does not wait for them, and then the file. Its sync empties the disk's own cache, where
/// the file system supports that.
pub fn sync_file_system(file: &File) -> io::Result<()> {
    nix::unistd::sync();
    match file.sync_all() {
        Err(_) => Ok(nix::unistd::fsync(file)?),
        synced => synced,
    }
}
