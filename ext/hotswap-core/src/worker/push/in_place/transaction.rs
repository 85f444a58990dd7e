//! The transaction in which the worker writes.

use rusqlite::{Connection, ErrorCode};

use crate::error::{Context, Result};
use crate::worker::sqlite::log_buffer::{Durable, LogBuffer};

/// A transaction that is rolled back unless it was committed.
pub(super) struct Transaction<'a> {
    connection: &'a Connection,
    /// Outlives the transaction.
    log: Option<LogBuffer>,
}

impl<'a> Transaction<'a> {
    /// Takes the write lock, unless the connection has it already. `None` if another process keeps it for longer than
    /// the busy timeout.
    pub(super) fn begin(connection: &'a Connection) -> Result<Option<Self>> {
        let begun = Self {
            connection,
            log: None,
        };
        if !connection.is_autocommit() {
            return Ok(Some(begun));
        }
        match connection.execute_batch("BEGIN IMMEDIATE") {
            Ok(()) => Ok(Some(begun)),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => Ok(None),
            Err(error) => Err(error).context("cannot write into the live database"),
        }
    }

    /// Keeps the write lock for the next [`begin`](Self::begin).
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }

    /// From now on, gathers what it writes into the WAL, until the commit.
    pub(super) fn gather(&mut self, durable: Durable) {
        self.log = LogBuffer::begin(self.connection, durable);
    }

    pub(super) fn commit(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("COMMIT")
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.connection.is_autocommit() {
            // Closing the connection would roll it back, too.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}
