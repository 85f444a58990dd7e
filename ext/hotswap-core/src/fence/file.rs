//! A file that is there for its locks.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens it, and makes it, for its owner only, where there is none. A link in its place is not followed.
pub(crate) fn open_or_make(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW);
    match options.open(path) {
        // Not at once: where the system protects regular files (`fs.protected_regular`), nobody, not even root, opens
        // somebody else's in a sticky folder with O_CREAT.
        Err(error) if error.kind() == ErrorKind::NotFound => options.create(true).open(path),
        opened => opened,
    }
}
