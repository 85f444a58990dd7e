//! Which processes hold record locks on a file: unknown, except for a lock that is in the way of one's own.

use std::os::fd::AsFd;

use nix::fcntl::{fcntl, FcntlArg};

use crate::sys::identity::Identity;

/// Whether [`listed`] knows the locks.
pub const ARE_LISTED: bool = false;

/// Puts the lock into `record` that is in its way. A lock of this process is not: POSIX does not tell.
pub fn examine_any(file: impl AsFd, record: &mut libc::flock) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_GETLK(record)).map(drop)
}

/// The locks on a file: there is no list of them.
pub fn listed(_file: Identity) -> Vec<(u32, bool)> {
    Vec::new()
}
