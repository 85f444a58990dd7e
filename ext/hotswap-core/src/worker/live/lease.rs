//! The kernel's write lease: proof that no other process has a file open.
//!
//! The kernel grants `F_SETLEASE, F_WRLCK` only while the descriptor is the only one of the file on this kernel, in
//! any container, mapped or in flight in a socket. The worker asks for the lease on SQLite's own descriptor, which
//! it finds in `/proc/self/fd`: closing a second one would drop SQLite's locks.

use std::os::fd::RawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::{Context, Failed, Result};
use crate::sys::identity::Identity;
use crate::worker::descriptors::own_descriptors;

/// The kernel's answer.
#[derive(Debug)]
pub(crate) enum Asked {
    /// No other process has the file open, until the lease is broken or released.
    Granted(Lease),
    /// Another process has the file open.
    Refused,
    /// This file system or this user gets no lease, so nothing is proven.
    Unavailable(Errno),
}

/// A lease that the kernel has granted. A process that opens the file now waits in `open(2)` until the lease is
/// released.
#[derive(Debug)]
pub(crate) struct Lease(RawFd);

impl Lease {
    /// Asks until the lease is granted, for at most `patience`.
    ///
    /// A member that ends loses its lock on the fence first, and has the database open for an instant longer,
    /// because the kernel closes its descriptors one after the other.
    pub(crate) fn wait(file: &Path, patience: Duration) -> Result<Asked> {
        let give_up = Instant::now() + patience;
        loop {
            match Self::ask(file)? {
                Asked::Refused if Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_micros(500));
                }
                asked => return Ok(asked),
            }
        }
    }

    /// Asks for a lease on this process's only descriptor of `file`.
    fn ask(file: &Path) -> Result<Asked> {
        // The kernel sends SIGIO when a process wants to open the file. By default this signal ends the receiver.
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        let metadata = std::fs::metadata(file).on_path("cannot stat", file)?;
        let descriptor = own_descriptor(file)?;
        Ok(match set(descriptor, libc::F_WRLCK) {
            Ok(()) => Asked::Granted(Lease(descriptor)),
            Err(Errno::EACCES) => as_owner(&metadata, || set(descriptor, libc::F_WRLCK))
                .map_or_else(answer, |()| Asked::Granted(Lease(descriptor))),
            Err(errno) => answer(errno),
        })
    }

    /// Whether no process has tried to open the file since.
    pub(crate) fn is_unbroken(&self) -> bool {
        // SAFETY: SQLite keeps the descriptor open until the process ends.
        unsafe { libc::fcntl(self.0, libc::F_GETLEASE) == libc::F_WRLCK }
    }

    /// Lets the waiting processes open the file.
    pub(crate) fn release(&self) {
        // A lease that is no longer held needs no release.
        let _ = set(self.0, libc::F_UNLCK);
    }

    /// Asks again after [`Lease::release`]. If the kernel grants the lease, every process that was let in has closed
    /// the file.
    pub(crate) fn renew(&self) -> bool {
        set(self.0, libc::F_WRLCK).is_ok()
    }
}

fn answer(errno: Errno) -> Asked {
    match errno {
        Errno::EAGAIN => Asked::Refused,
        other => Asked::Unavailable(other),
    }
}

fn set(descriptor: RawFd, kind: i32) -> nix::Result<()> {
    // SAFETY: SQLite keeps the descriptor open until the process ends.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETLEASE, kind) }).map(drop)
}

/// A lease requires the file's owner or CAP_LEASE, which root in a container does not have. The file system user id
/// belongs to the thread.
fn as_owner(metadata: &std::fs::Metadata, call: impl FnOnce() -> nix::Result<()>) -> nix::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let own = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(metadata.uid()));
    let outcome = call();
    nix::unistd::setfsuid(own);
    outcome
}

/// SQLite's descriptor of `file`.
pub(super) fn own_descriptor(file: &Path) -> Result<RawFd> {
    let identity = Identity::of(&std::fs::metadata(file).on_path("cannot stat", file)?);
    own_descriptors()
        .find_map(|(descriptor, of)| (of == identity).then_some(descriptor))
        .ok_or_else(|| {
            Failed::NoDescriptor {
                file: file.to_owned(),
            }
            .into()
        })
}
