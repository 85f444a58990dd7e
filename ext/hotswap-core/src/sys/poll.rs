//! What `poll(2)` reports of a file descriptor.

use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};

/// What to ask `poll` for, so that it reports if the other end has closed a socket for writing. Only Linux reports
/// POLLHUP without being asked; macOS takes it as such a request.
#[cfg(all(target_os = "linux", not(feature = "portable")))]
pub const HANGS_UP: libc::c_short = libc::POLLRDHUP;
#[cfg(all(target_os = "macos", not(feature = "portable")))]
pub const HANGS_UP: libc::c_short = libc::POLLHUP;
#[cfg(any(feature = "portable", not(any(target_os = "linux", target_os = "macos"))))]
pub const HANGS_UP: libc::c_short = 0;

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
    let signs = libc::POLLHUP | HANGS_UP | libc::POLLERR | libc::POLLNVAL;
    state(socket, HANGS_UP) & signs != 0 || (HANGS_UP == 0 && has_ended(socket))
}

/// Whether nothing is left to read from a socket whose other end has been closed for writing.
fn has_ended(socket: RawFd) -> bool {
    let mut byte = 0_u8;
    // SAFETY: room for one byte, which outlives the call.
    let received = unsafe {
        libc::recv(
            socket,
            std::ptr::from_mut(&mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    received == 0
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
