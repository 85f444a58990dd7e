//! A level-triggered flag that a thread can wait for: its descriptor is readable while it is set.
//!
//! The flag is an eventfd, so that Ruby (`IO#wait_readable`, also under a fiber scheduler) and native threads
//! (`poll`) can wait for the same descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// A flag with a descriptor to wait for.
#[derive(Debug)]
pub struct Signal(EventFd);

impl Signal {
    /// A new signal, not set. Fails only if the process is out of file descriptors.
    pub fn new() -> std::io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_flags(flags)?))
    }

    /// Makes the descriptor readable until [`Signal::clear`]. Async-signal-safe; never blocks.
    pub fn set(&self) {
        // The only possible error is an overflow of the counter. Then the signal is already set.
        let _ = self.0.write(1);
    }

    /// Makes the descriptor unreadable again.
    pub fn clear(&self) {
        // The only possible error is that the signal was not set.
        let _ = self.0.read();
    }

    /// Waits until the signal is set, for at most `timeout`. Returns whether it is.
    pub fn wait(&self, timeout: Duration) -> bool {
        wait_readable(&[self.as_fd()], timeout)
    }

    /// The number of the descriptor, for Ruby to wait for.
    pub fn raw(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }

    /// A second descriptor of the same signal, with its own owner.
    pub fn try_clone_fd(&self) -> std::io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }
}

impl AsFd for Signal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of the descriptors is readable, for at most `timeout` (rounded up to a millisecond).
pub fn wait_readable(descriptors: &[BorrowedFd<'_>], timeout: Duration) -> bool {
    let mut polled: Vec<PollFd> = descriptors
        .iter()
        .map(|fd| PollFd::new(*fd, PollFlags::POLLIN))
        .collect();
    let millis = timeout.as_micros().div_ceil(1000).min(u16::MAX as u128) as u16;
    matches!(nix::poll::poll(&mut polled, PollTimeout::from(millis)), Ok(n) if n > 0)
}

/// Whether the other end of a socket has closed it. A descriptor that is not open counts as closed.
pub fn hung_up(socket: RawFd) -> bool {
    let signs = libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR | libc::POLLNVAL;
    state(socket, libc::POLLRDHUP) & signs != 0
}

/// Whether a small message can be sent on a socket without waiting for its reader.
pub fn takes_more(socket: RawFd) -> bool {
    state(socket, libc::POLLOUT) & libc::POLLOUT != 0
}

/// What `poll` reports of a socket at once.
fn state(socket: RawFd, events: libc::c_short) -> libc::c_short {
    let mut polled = libc::pollfd {
        fd: socket,
        events,
        revents: 0,
    };
    // SAFETY: one pollfd, which outlives the call.
    unsafe { libc::poll(&mut polled, 1, 0) };
    polled.revents
}

/// Blocks the signals of the process in the calling thread, so that Ruby's threads get them.
pub fn leave_signals_to_others() {
    // The only possible error is an invalid argument.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}
