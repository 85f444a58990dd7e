//! Writing to the disk.

use std::fs::File;
use std::io;

/// Begins to write back a range of the file, where that is possible.
pub fn begin_write_back(_file: &File, _at: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Waits until the range is written.
pub fn finish_write_back(file: &File, _at: u64, _length: u64) -> io::Result<()> {
    Ok(nix::unistd::fsync(file)?)
}

/// Makes writes to `file` go past the page cache, or through it.
pub fn pass_cache(_file: &File, past: bool) -> io::Result<()> {
    match past {
        true => Err(io::Error::from_raw_os_error(libc::EINVAL)),
        false => Ok(()),
    }
}

/// Syncs the whole file system of `file`, and all others.
pub fn sync_file_system(_file: &File) -> io::Result<()> {
    nix::unistd::sync();
    Ok(())
}
