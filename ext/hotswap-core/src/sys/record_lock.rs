//! POSIX record locks on bytes of a file, as SQLite uses them (`fcntl(2)`). They belong to the process.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};

use super::identity::Identity;
use super::locks;

/// The bytes of a file that a lock covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// The first byte.
    pub start: i64,
    /// How many; 0 means all to the end of the file.
    pub length: i64,
}

/// Every byte of a file.
pub const ALL: Bytes = Bytes { start: 0, length: 0 };

/// The kinds of locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Several processes may hold it at a time.
    Shared,
    /// No other process may hold a lock on the same bytes.
    Exclusive,
}

impl Kind {
    fn of_the_kernel(self) -> libc::c_int {
        libc::c_int::from(match self {
            Kind::Shared => libc::F_RDLCK,
            Kind::Exclusive => libc::F_WRLCK,
        })
    }
}

fn record(kind: libc::c_int, bytes: Bytes) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: bytes.start,
        l_len: bytes.length,
        l_pid: 0,
    }
}

/// Takes the lock, if no other process is in the way: EAGAIN or EACCES.
pub fn try_lock(file: impl AsFd, kind: Kind, bytes: Bytes) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_SETLK(&record(kind.of_the_kernel(), bytes))).map(drop)
}

/// Takes the lock when no other process is in the way any more.
pub fn wait_for_lock(file: impl AsFd, kind: Kind, bytes: Bytes) -> nix::Result<()> {
    let record = record(kind.of_the_kernel(), bytes);
    loop {
        match fcntl(file.as_fd(), FcntlArg::F_SETLKW(&record)) {
            Err(Errno::EINTR) => {}
            locked => return locked.map(drop),
        }
    }
}

/// Releases a lock.
pub fn unlock(file: impl AsFd, bytes: Bytes) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_SETLK(&record(libc::F_UNLCK as _, bytes))).map(drop)
}

/// The process whose lock conflicts with a lock of this `kind`. The kernel reports 0 for a process in another
/// container, and -1 for a lock that belongs to an open file.
pub fn holder(file: impl AsFd, kind: Kind, bytes: Bytes) -> Option<i32> {
    conflict(file, kind, bytes).map(|(pid, _)| pid)
}

/// The same, with the kind of the lock that conflicts.
pub fn conflict(file: impl AsFd, kind: Kind, bytes: Bytes) -> Option<(i32, Kind)> {
    let mut record = record(kind.of_the_kernel(), bytes);
    fcntl(file, FcntlArg::F_GETLK(&mut record)).ok()?;
    let of = |kind: Kind| libc::c_int::from(record.l_type) == kind.of_the_kernel();
    let found = [Kind::Shared, Kind::Exclusive]
        .into_iter()
        .find(|kind| of(*kind))?;
    Some((record.l_pid, found))
}

/// The same for a file of this process, which may itself hold a lock on it.
pub fn holder_of_any(file: impl AsFd, kind: Kind, bytes: Bytes) -> Option<i32> {
    let mut record = record(kind.of_the_kernel(), bytes);
    let answered = locks::examine_any(file, &mut record).is_ok();
    (answered && libc::c_int::from(record.l_type) != libc::c_int::from(libc::F_UNLCK)).then_some(record.l_pid)
}

/// The locks on a file and the processes that hold them, where the system lists them. This does not open the file.
pub fn listed(file: Identity) -> Vec<(u32, Kind)> {
    let kind = |exclusive| if exclusive { Kind::Exclusive } else { Kind::Shared };
    let listed = locks::listed().into_iter().filter(|(of, ..)| *of == file);
    listed.map(|(_, pid, exclusive)| (pid, kind(exclusive))).collect()
}
