//! The transaction in which the worker writes.

use rusqlite::{Connection, ErrorCode};

use crate::error::{Context, Result};

/// A transaction that is rolled back unless it was committed.
pub(super) struct Transaction<'a>(&'a Connection);

impl<'a> Transaction<'a> {
    /// Takes the write lock, unless the connection has it already. `None` if another process keeps it for longer than
    /// the busy timeout.
    pub(super) fn begin(connection: &'a Connection) -> Result<Option<Self>> {
        if !connection.is_autocommit() {
            return Ok(Some(Self(connection)));
        }
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(Some(Self(connection))),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(None),
            Err(error) => Err(error).context("cannot write into the live database"),
        }
    }

    /// Keeps the write lock for the next [`begin`](Self::begin).
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }

    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.0.execute_batch("COMMIT")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // Closing the connection would roll it back, too.
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}
