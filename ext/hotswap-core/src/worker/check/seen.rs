//! What the checks saw of the live database. The worker compares it again when no other process can change the
//! database any more.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};

use super::contents::table_with_rows;
use super::lost_jobs;
use crate::error::{is_of_the_machine, Busy, Context, Result};
use crate::sys::identity::Identity;
use crate::worker::schema::Schema;
use crate::worker::sqlite::vfs::{self, Purpose};

/// The state of the live database during the checks.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The identity of the file.
    pub identity: Identity,
    /// The schema of the database.
    pub schema: Schema,
    /// Whether the push was allowed only because the live database has no rows.
    pub without_rows: bool,
    /// The id of the newest job in the database's queue, if it has a queue.
    pub last_job: Option<i64>,
    /// How many jobs were enqueued after that one and would be lost.
    pub late_jobs: Arc<AtomicUsize>,
}

impl Seen {
    /// Refuses if the live database has changed. No other process can change it now. `connection` is open to it.
    pub(crate) fn confirm(&self, connection: &Connection, live: &Path) -> Result<()> {
        match self.schema.is_still_that_of(connection) {
            Ok(true) => {}
            Err(source) if is_of_the_machine(&source) => {
                return Err(source).on_path("cannot read the schema of", live);
            }
            Ok(false) | Err(_) => {
                return Err(Busy::SchemaChanged {
                    database: live.to_owned(),
                }
                .into())
            }
        }
        if !self.without_rows {
            return Ok(());
        }
        table_with_rows(connection, &self.schema, false).map_or(Ok(()), |table| {
            Err(Busy::NotEmptyAnyMore {
                database: live.to_owned(),
                table,
            }
            .into())
        })
    }

    /// Counts the jobs that were enqueued since the checks. If `connection` has not read the schema yet, that may take
    /// milliseconds.
    pub(crate) fn count_late_jobs(&self, connection: &Connection) {
        let late = self.last_job.map_or(0, |last| lost_jobs::since(last, connection));
        self.late_jobs.store(late, Ordering::Relaxed);
    }

    /// The warning about jobs that were enqueued while the push waited.
    pub(crate) fn late_jobs(&self) -> Option<String> {
        lost_jobs::late(self.late_jobs.load(Ordering::Relaxed))
    }

    /// Another connection to `live`, for [`confirm_locked`](Self::confirm_locked), in WAL mode. It reads the schema
    /// while requests go on: that may take milliseconds.
    pub(crate) fn another_connection(live: &Path) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(live, flags).on_path("cannot open", live)?;
        // If this fails, so does what needs the schema.
        let _ = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        Ok(connection)
    }

    /// Confirms, and counts the late jobs, right before the worker writes into `live`. The connection that has the lock
    /// cannot answer. So in WAL mode, this asks `another`.
    pub(crate) fn confirm_locked(&self, live: &Path, another: Option<&Connection>) -> Result<()> {
        let ask = |connection: &Connection| {
            self.confirm(connection, live)?;
            self.count_late_jobs(connection);
            Ok(())
        };
        match another {
            Some(another) => ask(another),
            // With a rollback journal no process gets past the lock, and everything committed is in the file.
            None => ask(&vfs::open(live, Purpose::Reading)?),
        }
    }
}
