//! The kernel's write lease: proof that nobody else has a file open.
//!
//! `F_SETLEASE, F_WRLCK` is granted only while the asking descriptor is the only one of the file on this
//! kernel, in any container, mapped or in flight in a socket. It is asked for on SQLite's own descriptor, found
//! in `/proc/self/fd`: a second one, closed, would drop SQLite's locks.

use std::os::fd::RawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::letting_go::own_descriptors;
use crate::error::{Context, Error, Result};
use crate::protocol::Identity;
use crate::visible::Shown;

/// What the kernel said.
#[derive(Debug)]
pub enum Asked {
    /// Nobody else has the file open, until the lease is broken or released.
    Granted(Lease),
    /// Somebody has.
    SomebodyElse,
    /// This file system, or this user, gets no lease: nothing is proven.
    Unavailable(Errno),
}

/// A lease that was granted. Whoever opens the file now waits in `open(2)` until it is released.
#[derive(Debug)]
pub struct Lease(RawFd);

impl Lease {
    /// Asks until the lease is granted, for `patience` at most.
    ///
    /// A member that ends gives up its lock on the fence first, and has the database open for an instant
    /// longer: the kernel closes its descriptors one after the other.
    pub fn wait(file: &Path, patience: Duration) -> Result<Asked> {
        let give_up = Instant::now() + patience;
        loop {
            match Self::ask(file)? {
                Asked::SomebodyElse if Instant::now() < give_up => {
                    std::thread::sleep(Duration::from_micros(500));
                }
                asked => return Ok(asked),
            }
        }
    }

    /// Asks for a lease on the one descriptor of `file` that this process has.
    fn ask(file: &Path) -> Result<Asked> {
        // The default action of SIGIO, which tells that somebody wants to open the file, is to end us.
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

    /// Whether nobody has tried to open the file since.
    pub fn is_unbroken(&self) -> bool {
        // SAFETY: SQLite keeps the descriptor open until the process ends.
        unsafe { libc::fcntl(self.0, libc::F_GETLEASE) == libc::F_WRLCK }
    }

    /// Lets those in who wait.
    pub fn release(&self) {
        // What is not held any more needs no release.
        let _ = set(self.0, libc::F_UNLCK);
    }

    /// Asks again after [`Lease::release`]. Granted: everybody who was let in has closed the file.
    pub fn renew(&self) -> bool {
        set(self.0, libc::F_WRLCK).is_ok()
    }
}

fn answer(errno: Errno) -> Asked {
    match errno {
        Errno::EAGAIN => Asked::SomebodyElse,
        other => Asked::Unavailable(other),
    }
}

fn set(descriptor: RawFd, kind: i32) -> nix::Result<()> {
    // SAFETY: SQLite keeps the descriptor open until the process ends.
    Errno::result(unsafe { libc::fcntl(descriptor, libc::F_SETLEASE, kind) }).map(drop)
}

/// A lease is for the file's owner, or for CAP_LEASE, which root in a container does not have. The file system
/// user id is this thread's own.
fn as_owner(metadata: &std::fs::Metadata, call: impl FnOnce() -> nix::Result<()>) -> nix::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let own = nix::unistd::setfsuid(nix::unistd::Uid::from_raw(metadata.uid()));
    let outcome = call();
    nix::unistd::setfsuid(own);
    outcome
}

/// SQLite's descriptor of `file`.
pub fn own_descriptor(file: &Path) -> Result<RawFd> {
    let identity = Identity::of(&std::fs::metadata(file).on_path("cannot stat", file)?);
    own_descriptors()
        .find_map(|(descriptor, of)| (of == identity).then_some(descriptor))
        .ok_or_else(|| Error::Broken(format!("SQLite has no descriptor of {} open", file.shown())))
}
