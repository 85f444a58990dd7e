//! Connections to the live database, and their checkpoints.

use std::path::Path;

use rusqlite::{ffi, Connection, ErrorCode, OpenFlags};

use crate::error::{Error, Refused};
use crate::visible::Shown;

/// How the worker opens the live database. Its path is absolute, so it is no URI. Another file may be attached by one.
pub(super) fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI
}

/// Uses the C interface: the PRAGMA reads the schema first, so a damaged database could not be replaced.
pub(crate) fn checkpoint(connection: &Connection, mode: i32) -> i32 {
    let (every, none) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: the handle lives as long as `connection`; a null name means every database, and null counters are
    // not filled in.
    unsafe { ffi::sqlite3_wal_checkpoint_v2(connection.handle(), every, mode, none, none) }
}

/// The error for a lock that SQLite refuses although no other process holds one.
pub(crate) fn unlockable(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        // The file may be writable, but not its WAL.
        Some(ErrorCode::ReadOnly) => not_writable(path),
        _ => Error::sqlite(format!("cannot lock {}", path.shown()), error),
    }
}

/// The refusal of a live file that can be opened only for reading.
pub(super) fn not_writable(live: &Path) -> Error {
    Refused::LiveIsReadOnly {
        database: live.to_owned(),
        protected: nix::unistd::access(live, nix::unistd::AccessFlags::W_OK).is_ok(),
    }
    .into()
}
