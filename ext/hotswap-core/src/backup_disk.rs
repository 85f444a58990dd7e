//! The disk of a backup. A pull writes to file systems that no database could live on: one that keeps no modes (FAT, CIFS),
//! has no locks (NFS without lockd, Lustre), or syncs no folder.

use std::fs::File;
use std::io;

/// Whether the file system says by `error` that it does not do this at all, and not that it has failed to.
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

/// Makes `what`, a file of a backup or its folder, durable. Where the file system does not sync such a thing alone, all of
/// the file system of `file` is synced. An error is one of the disk.
pub fn sync(what: &File, file: &File) -> io::Result<()> {
    match what.sync_all() {
        Err(error) if cannot(&error) => sync_all_of(file),
        synced => synced,
    }
}

/// Syncs all of the file system of `file`, as far as that can be asked for there.
pub fn sync_all_of(file: &File) -> io::Result<()> {
    match nix::unistd::syncfs(file).map_err(io::Error::from) {
        Err(error) if cannot(&error) => Ok(()),
        synced => synced,
    }
}
