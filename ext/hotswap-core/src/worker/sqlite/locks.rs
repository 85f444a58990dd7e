//! The processes that hold SQLite's locks on a database, according to the kernel. They are named in messages.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::error::Error;
use crate::sidecar::sidecars;
use crate::sys::processes::name;
use crate::visible::Shown;

/// The bytes of a database file that SQLite locks. Readers share them.
const OF_THE_FILE: (libc::off_t, libc::off_t) = (0x4000_0000, 512);
/// The byte of the WAL index that a writer locks.
const OF_THE_WRITER: (libc::off_t, libc::off_t) = (120, 1);

/// The error for a database that could not be read because another process keeps it locked.
pub fn unreadable(database: &Path) -> Error {
    let who = holder(database, OF_THE_FILE, libc::F_RDLCK);
    Error::Busy(format!(
        "{} cannot be read, because {} keeps it locked against everybody else. A connection with PRAGMA locking_mode = EXCLUSIVE \
         does that until it is closed: leave the PRAGMA out, or end the transaction, and copy again",
        database.shown(),
        who.map_or("another process".into(), name)
    ))
}

/// The process that keeps others from writing into `database`. `wal` says whether the database is in WAL mode.
pub fn writer(database: &Path, wal: bool) -> Option<u32> {
    match wal {
        true => holder(&sidecars(database).nth(1)?, OF_THE_WRITER, libc::F_WRLCK),
        false => holder(database, OF_THE_FILE, libc::F_WRLCK),
    }
}

/// The process whose lock conflicts with a lock of this `kind`.
fn holder(file: &Path, (start, length): (libc::off_t, libc::off_t), kind: libc::c_int) -> Option<u32> {
    // Stays open until the process ends, because closing it would drop SQLite's locks.
    let file = ManuallyDrop::new(File::open(file).ok()?);
    // SAFETY: all fields of `flock` are integers; zero is a value of each.
    let mut record: libc::flock = unsafe { std::mem::zeroed() };
    record.l_type = kind as libc::c_short;
    record.l_whence = libc::SEEK_SET as libc::c_short;
    (record.l_start, record.l_len) = (start, length);
    // SAFETY: the descriptor is open; the kernel writes the answer into the record.
    let answered = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &mut record) } == 0;
    let held = answered && i32::from(record.l_type) != libc::F_UNLCK;
    // The kernel reports no number for a process in another container.
    (held && record.l_pid > 0).then_some(record.l_pid as u32)
}
