//! A level-triggered flag that a thread can wait for: its descriptor is readable while it is set.
//!
//! The flag is a socket pair with a byte in it, so that Ruby (`IO#wait_readable`, also under a fiber scheduler) and
//! native threads (`poll`) can wait for the same descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A flag with a descriptor to wait for.
#[derive(Debug)]
pub struct Event {
    reader: UnixStream,
    writer: UnixStream,
}

impl Event {
    /// A new event, not set. Fails only if the process is out of file descriptors.
    pub fn new() -> std::io::Result<Self> {
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader, writer })
    }

    /// Makes the descriptor readable until [`Event::clear`]. Async-signal-safe; never blocks.
    pub fn set(&self) {
        // The only possible error is a full buffer. Then the event is already set.
        let _ = nix::unistd::write(&self.writer, b"x");
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        let mut bytes = [0; 256];
        while matches!(nix::unistd::read(&self.reader, &mut bytes), Ok(1..)) {}
    }

    /// Waits until the event is set, for at most `timeout`. Returns whether it is.
    pub fn wait(&self, timeout: Duration) -> bool {
        crate::sys::poll::wait_readable(&[self.as_fd()], timeout)
    }

    /// The number of the descriptor, for Ruby to wait for.
    pub fn raw(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
