//! The processes that hold SQLite's locks on a database, according to the kernel. They are named in messages.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;

use super::header::LOCKED_BYTES;
use crate::error::{Busy, Error};
use crate::sidecar::sidecars;
use crate::sys::identity::Identity;
use crate::sys::processes::name;
use crate::sys::record_lock::{self, Bytes, Kind};

/// The bytes of a database file that SQLite locks: PENDING, RESERVED and SHARED. Their page is otherwise unused.
pub(crate) const OF_THE_FILE: Bytes = Bytes {
    start: LOCKED_BYTES as i64,
    length: 512,
};
/// The byte of the WAL index that a writer locks.
const OF_THE_WRITER: Bytes = Bytes {
    start: 120,
    length: 1,
};

/// The byte of the WAL index that a process locks while it checkpoints.
pub(crate) const OF_CHECKPOINTS: Bytes = Bytes {
    start: 121,
    length: 1,
};

/// The error for a database that could not be read because another process keeps it locked.
pub(crate) fn unreadable(database: &Path) -> Error {
    Busy::ReadersOut {
        database: database.to_owned(),
        holder: holder(database, OF_THE_FILE, Kind::Shared).map(name),
    }
    .into()
}

/// Whether a process keeps readers out of `database`. Does not open it: that would break the lease of a worker that has
/// just replaced it, and keep this worker from ending.
pub(crate) fn is_locked(database: &Path) -> bool {
    std::fs::metadata(database).is_ok_and(|database| {
        let locks = record_lock::listed(Identity::of(&database));
        locks.iter().any(|(_, kind)| *kind == Kind::Exclusive)
    })
}

/// The process that keeps others from writing into `database`. `wal` says whether the database is in WAL mode.
pub(crate) fn writer(database: &Path, wal: bool) -> Option<u32> {
    match wal {
        true => holder(&sidecars(database).nth(1)?, OF_THE_WRITER, Kind::Exclusive),
        false => holder(database, OF_THE_FILE, Kind::Exclusive),
    }
}

/// The process whose lock conflicts with a lock of this `kind`.
fn holder(file: &Path, bytes: Bytes, kind: Kind) -> Option<u32> {
    // Stays open until the process ends, because closing it would drop SQLite's locks.
    let file = ManuallyDrop::new(File::open(file).ok()?);
    let pid = record_lock::holder(&*file, kind, bytes)?;
    // The kernel reports no number for a process in another container.
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}
