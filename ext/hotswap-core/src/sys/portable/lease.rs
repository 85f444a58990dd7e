//! Proof that no other process has a file open: not supported, so a push to an existing database writes in place.

use std::os::fd::RawFd;

use nix::errno::Errno;

/// Whether this platform has such a proof.
pub const EXISTS: bool = false;

/// Takes the lease on an open `descriptor`.
pub fn take(_descriptor: RawFd, _owner: u32) -> nix::Result<()> {
    Err(Errno::ENOTSUP)
}

/// Whether no process has tried to open the file since.
pub fn is_unbroken(_descriptor: RawFd) -> bool {
    false
}

/// Lets the waiting processes open the file.
pub fn release(_descriptor: RawFd) {}

/// Takes the lease again after [`release`].
pub fn renew(_descriptor: RawFd) -> bool {
    false
}
