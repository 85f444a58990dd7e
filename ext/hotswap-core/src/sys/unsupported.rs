//! The errors of a file system that does not support a call.

use std::io;

/// Whether `error` means that. macOS has one number for files and another one for sockets, where Linux has one for both.
pub fn is_unsupported(error: &io::Error) -> bool {
    let codes = [libc::ENOTSUP, libc::EOPNOTSUPP, libc::ENOSYS];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}
