//! A file that exists for its locks.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens the file, but creates none. Does not follow a symlink.
pub(crate) fn open_as_it_is(path: &Path) -> Result<File> {
    options().open(path)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW);
    options
}

/// Opens the file. If there is none, creates it, readable and writable only by its owner. Does not follow a symlink.
pub(crate) fn open_or_make(path: &Path) -> Result<File> {
    let mut options = options();
    match options.open(path) {
        // O_CREAT is not used at once: with `fs.protected_regular` no user, not even root, can open another user's
        // file in a sticky folder with O_CREAT.
        Err(error) if error.kind() == ErrorKind::NotFound => options.create(true).open(path),
        opened => opened,
    }
}
