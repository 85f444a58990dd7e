//! A level-triggered flag that a thread can wait for: its descriptor is readable while it is set.
//!
//! The flag is an eventfd, so that Ruby (`IO#wait_readable`, also under a fiber scheduler) and native threads
//! (`poll`) can wait for the same descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A flag with a descriptor to wait for.
#[derive(Debug)]
pub struct Event(EventFd);

impl Event {
    /// A new event, not set. Fails only if the process is out of file descriptors.
    pub fn new() -> std::io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    /// Makes the descriptor readable until [`Event::clear`]. Async-signal-safe; never blocks.
    pub fn set(&self) {
        // The only possible error is an overflow of the counter. Then the event is already set.
        let _ = self.0.write(1);
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        // The only possible error is that the event was not set.
        let _ = self.0.read();
    }

    /// Waits until the event is set, for at most `timeout`. Returns whether it is.
    pub fn wait(&self, timeout: Duration) -> bool {
        crate::sys::poll::wait_readable(&[self.as_fd()], timeout)
    }

    /// The number of the descriptor, for Ruby to wait for.
    pub fn raw(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
