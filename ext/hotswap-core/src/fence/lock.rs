//! POSIX record locks on single bytes of the fence file.

use std::fs::File;

use nix::errno::Errno;

use crate::sys::identity::Identity;
use crate::sys::record_lock::{self, Bytes, Kind};

/// The bytes of the fence; the [module](super) explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Byte 0.
    Fence = 0,
    /// Byte 1.
    Operation = 1,
    /// Byte 2.
    Straggler = 2,
    /// Byte 3.
    Objection = 3,
}

/// The result of an attempt to take a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tried {
    /// This process holds the lock.
    Got,
    /// A lock of another process is in the way.
    Held,
    /// The file system has no locks, or none left.
    Impossible(Errno),
}

impl Tried {
    /// Whether this process now holds the lock.
    pub fn got(self) -> bool {
        self == Tried::Got
    }
}

impl Lock {
    fn bytes(self) -> Bytes {
        Bytes {
            start: self as i64,
            length: 1,
        }
    }
}

pub(super) fn attempt(file: &File, lock: Lock, kind: Kind) -> Tried {
    match record_lock::try_lock(file, kind, lock.bytes()) {
        Ok(()) => Tried::Got,
        Err(Errno::EAGAIN | Errno::EACCES | Errno::EINTR) => Tried::Held,
        Err(other) => Tried::Impossible(other),
    }
}

pub(super) fn release(file: &File, lock: Lock) {
    // An error means that there was no lock.
    let _ = record_lock::unlock(file, lock.bytes());
}

pub(super) fn holder(file: &File, lock: Lock, kind: Kind) -> Option<i32> {
    record_lock::holder(file, kind, lock.bytes())
}

/// The process whose shared lock keeps this one from locking exclusively, or `None`.
pub(super) fn sharer(file: &File, lock: Lock) -> Option<i32> {
    let (pid, kind) = record_lock::conflict(file, Kind::Exclusive, lock.bytes())?;
    (kind == Kind::Shared).then_some(pid)
}

/// The processes that hold a lock on the file, according to `/proc/locks`.
pub(super) fn holders(file: Identity) -> Vec<u32> {
    let mut pids: Vec<_> = record_lock::listed(file)
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::Fence;
    use crate::sys::exit::exit_now;
    use crate::sys::locks;
    use crate::testing::{eventually, pending};
    use nix::sys::wait::{waitpid, WaitStatus};
    use nix::unistd::{fork, ForkResult};

    /// Runs `check` in a forked child, which owns none of this process's locks, and returns its verdict.
    fn in_another_process(check: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child calls fcntl and _exit only.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let verdict = check();
                exit_now(i32::from(!verdict))
            }
            ForkResult::Parent { child } => waitpid(child, None).unwrap() == WaitStatus::Exited(child, 0),
        }
    }

    #[test]
    fn members_share_and_a_worker_excludes() {
        let folder = tempfile::tempdir().unwrap();
        let fence = Fence::open(&folder.path().join("live.sqlite3")).unwrap();
        assert!(fence.try_shared(Lock::Fence).got());
        assert!(in_another_process(|| fence.try_shared(Lock::Fence).got()));
        assert!(in_another_process(|| !fence.try_exclusive(Lock::Fence).got()));
        let pid = std::process::id() as i32;
        assert!(in_another_process(|| fence.holder(Lock::Fence) == Some(pid)));
        assert!(in_another_process(|| fence.sharer(Lock::Fence) == Some(pid)));
        assert!(in_another_process(|| fence
            .exclusive_holder(Lock::Fence)
            .is_none()));
        fence.unlock(Lock::Fence);
        assert!(in_another_process(|| fence.try_exclusive(Lock::Fence).got()));
    }

    #[test]
    fn the_processes_that_hold_a_lock_are_listed() {
        if !locks::ARE_LISTED {
            return pending("this platform has no list of locks");
        }
        let folder = tempfile::tempdir().unwrap();
        let fence = Fence::open(&folder.path().join("live.sqlite3")).unwrap();
        assert!(fence.try_shared(Lock::Straggler).got());
        // The kernel may leave out a line while locks on other files come and go.
        eventually(|| fence.holders() == [std::process::id()]);
        fence.unlock(Lock::Straggler);
        assert!(fence.holders().is_empty());
    }

    #[test]
    fn the_locks_are_independent() {
        let folder = tempfile::tempdir().unwrap();
        let fence = Fence::open(&folder.path().join("live.sqlite3")).unwrap();
        assert!(fence.try_exclusive(Lock::Operation).got());
        assert!(in_another_process(|| fence.sharer(Lock::Operation).is_none()));
        assert!(in_another_process(|| fence.try_exclusive(Lock::Fence).got()));
        assert!(in_another_process(|| fence.try_exclusive(Lock::Straggler).got()));
        assert!(in_another_process(|| !fence.try_exclusive(Lock::Operation).got()));
    }

    #[test]
    fn a_process_that_dies_has_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let fence = Fence::open(&folder.path().join("live.sqlite3")).unwrap();
        assert!(in_another_process(|| fence.try_exclusive(Lock::Fence).got()));
        assert!(fence.try_exclusive(Lock::Fence).got());
    }
}
