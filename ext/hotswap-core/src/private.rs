//! Descriptors that a forked child must not keep.
//!
//! A child inherits every descriptor. A listening socket that lives on in it takes connections that nobody
//! answers; a client's connection that lives on in it never ends for the client. So each is in a table, and the
//! handler that the system runs in a forked child closes what stands there.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

const SLOTS: usize = 512;
const EMPTY: RawFd = -1;
static TABLE: [AtomicI32; SLOTS] = [const { AtomicI32::new(EMPTY) }; SLOTS];

/// A descriptor's place in the table. Give it up before the descriptor is closed.
#[derive(Debug)]
pub struct Private(Option<usize>);

impl Private {
    /// Enters a descriptor. A full table leaves it out, which costs a child a descriptor and nothing else.
    pub fn keep(descriptor: &impl AsRawFd) -> Self {
        let raw = descriptor.as_raw_fd();
        let free = |slot: &AtomicI32| {
            slot.compare_exchange(EMPTY, raw, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        };
        Self(TABLE.iter().position(free))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            TABLE[slot].store(EMPTY, Ordering::Release);
        }
    }
}

/// Closes them all, in a forked child. Async-signal-safe.
pub fn close_in_child() {
    for slot in &TABLE {
        let descriptor = slot.swap(EMPTY, Ordering::AcqRel);
        if descriptor != EMPTY {
            // SAFETY: the descriptor was open in the parent when it forked, and nobody in the child uses it.
            unsafe { libc::close(descriptor) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{waitpid, WaitStatus};
    use nix::unistd::{fork, ForkResult};

    #[test]
    fn a_child_loses_what_its_parent_keeps() {
        let file = tempfile::tempfile().unwrap();
        let private = Private::keep(&file);
        // SAFETY: the child calls close, fcntl and _exit only.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                close_in_child();
                // SAFETY: asks for flags; the descriptor may be closed, which is the question.
                let closed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) } < 0;
                // SAFETY: ends the child without running this test binary's exit handlers.
                unsafe { libc::_exit(i32::from(!closed)) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)))
            }
        }
        assert!(file.metadata().is_ok());
        drop(private);
    }
}
