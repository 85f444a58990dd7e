//! The proof that no other process has the live file open, where the platform has one.
//!
//! The worker asks for the lease on SQLite's own descriptor, which it finds among those of this process: closing a
//! second one would drop SQLite's locks.

use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::{Context, Failed, Result};
use crate::sys::identity::Identity;
use crate::sys::{descriptors, lease};

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
        let metadata = std::fs::metadata(file).on_path("cannot stat", file)?;
        let descriptor = own_descriptor(file)?;
        Ok(match lease::take(descriptor, metadata.uid()) {
            Ok(()) => Asked::Granted(Lease(descriptor)),
            Err(Errno::EAGAIN) => Asked::Refused,
            Err(other) => Asked::Unavailable(other),
        })
    }

    /// Whether no process has tried to open the file since.
    pub(crate) fn is_unbroken(&self) -> bool {
        lease::is_unbroken(self.0)
    }

    /// Lets the waiting processes open the file.
    pub(crate) fn release(&self) {
        lease::release(self.0);
    }

    /// Asks again after [`Lease::release`]. If the kernel grants the lease, every process that was let in has closed
    /// the file.
    pub(crate) fn renew(&self) -> bool {
        lease::renew(self.0)
    }
}

/// SQLite's descriptor of `file`.
pub(super) fn own_descriptor(file: &Path) -> Result<RawFd> {
    let identity = Identity::of(&std::fs::metadata(file).on_path("cannot stat", file)?);
    descriptors::own()
        .find_map(|(descriptor, of)| (of == identity).then_some(descriptor))
        .ok_or_else(|| {
            Failed::NoDescriptor {
                file: file.to_owned(),
            }
            .into()
        })
}
