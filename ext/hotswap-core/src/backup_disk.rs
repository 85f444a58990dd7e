//! The disk of a backup. A pull also writes to file systems on which SQLite could not run a database: those that do not store
//! modes (FAT, CIFS), do not support locks (NFS without lockd, Lustre), or cannot sync a folder.

use std::fs::File;
use std::io;

/// Whether `error` means that the file system does not support the call, and not that the call failed.
pub fn cannot(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINVAL
                | libc::ENOSYS
                | libc::EOPNOTSUPP
                | libc::EPERM
                | libc::EACCES
                | libc::ENOLCK
                | libc::ENOTTY
        )
    )
}

/// Makes `what`, a backup file or its folder, durable. If the file system cannot sync `what` alone, syncs the whole file
/// system of `file`. Returns only errors of the disk.
pub fn sync(what: &File, file: &File) -> io::Result<()> {
    match what.sync_all() {
        Err(error) if cannot(&error) => sync_all_of(file),
        synced => synced,
    }
}

/// Syncs the whole file system of `file`, if it supports that.
pub fn sync_all_of(file: &File) -> io::Result<()> {
    match nix::unistd::syncfs(file).map_err(io::Error::from) {
        Err(error) if cannot(&error) => Ok(()),
        synced => synced,
    }
}
