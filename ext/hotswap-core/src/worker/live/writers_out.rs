//! Keeps writers out of a database with a rollback journal until its rename is durable.
//!
//! SQLite makes the content of a journal durable before its name. If a power cut undid the rename but kept the
//! journal, SQLite would play that journal back into the old database. WAL mode does not need this: SQLite syncs the
//! folder before it writes the first frame into a new WAL.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The write lock on the new database. Dropping it lets writers in.
#[derive(Debug)]
pub(crate) struct WritersOut(Option<Connection>);

impl WritersOut {
    /// Takes SQLite's write lock on the database at `path` (resolved). Readers do not notice. No other process may
    /// be in the database yet.
    pub(crate) fn keep(path: &Path) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // The new database is in place. If it cannot be locked, it is in use all the same.
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
            // Nothing was written. Closing the connection ends the transaction, too.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}
