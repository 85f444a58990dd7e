//! File descriptors that a forked child must not keep.
//!
//! A child inherits every descriptor. A listening socket in the child would accept connections that no thread
//! answers. A client's connection in the child would stay open for the client. So a table lists these descriptors,
//! and the system's fork handler closes them in the child.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

/// A command has up to a dozen of them.
const SLOTS: usize = 8192;
const EMPTY: RawFd = -1;
static TABLE: [AtomicI32; SLOTS] = [const { AtomicI32::new(EMPTY) }; SLOTS];

/// How many threads have a descriptor that is not yet in the table.
static MAKING: AtomicU32 = AtomicU32::new(0);
static FORKING: AtomicBool = AtomicBool::new(false);

/// Makes a descriptor and enters it into the table, or gives both up, without a fork in between. `work` must be
/// short.
pub fn without_fork<T>(work: impl FnOnce() -> T) -> T {
    struct Making;
    impl Drop for Making {
        fn drop(&mut self) {
            MAKING.fetch_sub(1, Ordering::SeqCst);
        }
    }
    loop {
        MAKING.fetch_add(1, Ordering::SeqCst);
        let making = Making;
        if !FORKING.load(Ordering::SeqCst) {
            let made = work();
            drop(making);
            return made;
        }
        drop(making);
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Runs before a fork, in the thread that forks. Waits for descriptors that are being made, but not for ever.
pub fn before_fork() {
    FORKING.store(true, Ordering::SeqCst);
    for _ in 0..1000 {
        if MAKING.load(Ordering::SeqCst) == 0 {
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Runs after a fork, in the parent.
pub fn after_fork() {
    FORKING.store(false, Ordering::SeqCst);
}

/// The entry of a descriptor in the table. It must be dropped before the descriptor is closed.
#[derive(Debug)]
pub struct CloseInChild(Option<usize>);

impl CloseInChild {
    /// Enters a descriptor. If the table is full, the descriptor is left out, and a child merely keeps it open.
    pub fn keep(descriptor: &impl AsRawFd) -> Self {
        let raw = descriptor.as_raw_fd();
        let free = |slot: &AtomicI32| {
            slot.compare_exchange(EMPTY, raw, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        };
        Self(TABLE.iter().position(free))
    }
}

impl Drop for CloseInChild {
    fn drop(&mut self) {
        if let Some(slot) = self.0 {
            TABLE[slot].store(EMPTY, Ordering::Release);
        }
    }
}

/// Closes all descriptors in the table, in a forked child. Async-signal-safe.
pub fn close_in_child() {
    MAKING.store(0, Ordering::SeqCst);
    FORKING.store(false, Ordering::SeqCst);
    for slot in &TABLE {
        let descriptor = slot.swap(EMPTY, Ordering::AcqRel);
        if descriptor != EMPTY {
            // The descriptor was open in the parent when it forked, and the child does not use it.
            let _ = nix::unistd::close(descriptor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::exit::exit_now;
    use nix::sys::wait::{waitpid, WaitStatus};
    use nix::unistd::{fork, ForkResult};

    #[test]
    fn a_fork_waits_for_what_is_being_made() {
        let (begun, made) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                without_fork(|| {
                    begun.store(true, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                    made.store(true, Ordering::SeqCst);
                })
            });
            while !begun.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            before_fork();
            assert!(made.load(Ordering::SeqCst));
            let late = scope.spawn(|| without_fork(|| FORKING.load(Ordering::SeqCst)));
            after_fork();
            assert!(!late.join().unwrap());
        });
    }

    #[test]
    fn a_child_loses_what_its_parent_keeps() {
        let file = tempfile::tempfile().unwrap();
        let private = CloseInChild::keep(&file);
        // SAFETY: the child calls close, fcntl and _exit only.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                close_in_child();
                // SAFETY: reads the flags; the test is whether the descriptor is closed.
                let closed = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETFD) } < 0;
                exit_now(i32::from(!closed))
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)))
            }
        }
        assert!(file.metadata().is_ok());
        drop(private);
    }
}
