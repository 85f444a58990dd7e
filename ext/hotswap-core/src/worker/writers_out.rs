//! Who wants to write into a database that has a rollback journal waits until its rename is durable.
//!
//! SQLite makes a journal durable before its name. If a power cut took the rename back and left the journal, that would
//! be played back into the old database. A write-ahead log needs no such care: SQLite syncs the folder before it writes
//! the first row into a new log.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// See the module. Dropping it lets them write.
#[derive(Debug)]
pub struct WritersOut(Option<Connection>);

impl WritersOut {
    /// Takes SQLite's write lock on the database at `path` (resolved), which readers do not notice. Nobody else may be in
    /// it yet.
    pub fn keep(path: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // The new database is in place: what cannot be locked is in use all the same.
        let locked = Connection::open_with_flags(path, flags).and_then(|connection| {
            connection.busy_timeout(Duration::ZERO)?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            Ok(connection)
        });
        Self(locked.ok())
    }
}

impl Drop for WritersOut {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            // Nothing was written, and closing ends the transaction as well.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}
