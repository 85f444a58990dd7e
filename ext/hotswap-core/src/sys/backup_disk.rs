//! The disk of a backup. A pull also writes to file systems on which SQLite could not run a database: those that do
//! not store modes (FAT, CIFS), do not support locks (NFS without lockd, Lustre), or cannot sync a folder.

use std::fs::File;
use std::io;

use super::disk;
use super::unsupported::is_unsupported;

/// Whether `error` means that the file system does not support the call, and not that the call failed.
pub fn cannot(error: &io::Error) -> bool {
    is_unsupported(error)
        || matches!(
            error.raw_os_error(),
            Some(libc::EINVAL | libc::EPERM | libc::EACCES | libc::ENOLCK | libc::ENOTTY)
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

/// For macOS, a sync is a request to a device (`F_FULLFSYNC`), hence ENOTTY.
fn has_no_sync(error: &io::Error) -> bool {
    is_unsupported(error) || matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_not_supported_is_told_from_one_that_fails() {
        let with = |code| io::Error::from_raw_os_error(code);
        for code in [
            libc::ENOTSUP,
            libc::EOPNOTSUPP,
            libc::ENOSYS,
            libc::EINVAL,
            libc::ENOTTY,
        ] {
            assert!(cannot(&with(code)) && has_no_sync(&with(code)), "{code}");
        }
        assert!(cannot(&with(libc::EPERM)) && !has_no_sync(&with(libc::EPERM)));
        assert!(!cannot(&with(libc::EIO)) && !has_no_sync(&with(libc::EIO)));
    }
}
