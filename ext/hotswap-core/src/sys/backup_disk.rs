//! The disk of a backup. A pull also writes to file systems on which SQLite could not run a database: those that do
//! not store modes (FAT, CIFS), do not support locks (NFS without lockd, Lustre), or cannot sync a folder.

use std::fs::File;
use std::io;

use super::disk;

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

/// Makes the content of `file`, a backup, durable. If the file system cannot sync one file, syncs the whole file
/// system.
///
/// A refused permission is no such case: on a network file system, the sync reports that the server refused what was
/// written before.
pub fn sync_content(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if has_no_sync(&error) => sync_all_of(file),
        synced => synced,
    }
}

/// Makes the names in `folder` durable, after a backup `file` got its name there. If the file system cannot sync a
/// folder, syncs the whole file system.
pub fn sync_folder(folder: &File, file: &File) -> io::Result<()> {
    match folder.sync_all() {
        Err(error) if cannot(&error) => sync_all_of(file),
        synced => synced,
    }
}

/// Syncs the whole file system of `file`, if it supports that.
pub fn sync_all_of(file: &File) -> io::Result<()> {
    match disk::sync_file_system(file) {
        Err(error) if has_no_sync(&error) => Ok(()),
        synced => synced,
    }
}

fn has_no_sync(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP)
    )
}
