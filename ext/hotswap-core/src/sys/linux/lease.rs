//! The kernel's write lease: proof that no other process has a file open.
//!
//! The kernel grants `F_SETLEASE, F_WRLCK` only while the descriptor is the only one of the file on this kernel, in
//! any container, mapped or in flight in a socket.

use std::os::fd::RawFd;

use nix::errno::Errno;

/// Whether this platform has such a proof.
pub const EXISTS: bool = true;

/// Takes the lease on an open `descriptor` of a file of the user `owner`. EAGAIN means that another process has the
/// file open. A process that opens the file after that waits in `open(2)` until the lease is released.
pub fn take(descriptor: RawFd, owner: u32) -> nix::Result<()> {
    // The kernel sends SIGIO when a process wants to open the file. By default this signal ends the receiver.
    // SAFETY: ignoring a signal installs no handler.
    unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
    match set(descriptor, libc::F_WRLCK) {
        Err(Errno::EACCES) => as_owner(owner, || set(descriptor, libc::F_WRLCK)),
        answer => answer,
    }
}

/// Whether no process has tried to open the file since.
pub fn is_unbroken(descriptor: RawFd) -> bool {
    // SAFETY: takes no pointer; an error counts as broken.
    unsafe { libc::fcntl(descriptor, libc::F_GETLEASE) == libc::F_WRLCK }
}

/// Lets the waiting processes open the file.
pub fn release(descriptor: RawFd) {
    // A lease that is no longer held needs no release.
    let _ = set(descriptor, libc::F_UNLCK);
}

/// Takes the lease again after [`release`].
pub fn renew(descriptor: RawFd) -> bool {
    set(descriptor, libc::F_WRLCK).is_ok()
}

fn set(descriptor: RawFd, kind: i32) -> nix::Result<()> {
    // SAFETY: takes no pointer.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETLEASE, kind) }).map(drop)
}

/// A lease requires the file's owner or CAP_LEASE, which root in a container does not have. The file system user id
/// belongs to the thread.
fn as_owner(owner: u32, call: impl FnOnce() -> nix::Result<()>) -> nix::Result<()> {
    let own = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(owner));
    let outcome = call();
    nix::unistd::setfsuid(own);
    outcome
}
