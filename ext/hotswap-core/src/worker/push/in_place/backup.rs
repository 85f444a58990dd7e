//! Writes all pages, through SQLite's backup. It writes into any database with any content, and rolls back a
//! write that it does not finish.

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode};

use crate::error::{Context, Error, Failed, Result};
use crate::worker::sqlite::log_buffer::{Durable, LogBuffer};

/// How many bytes are written between two checks of the time.
const STEP: i32 = 4 * 1024 * 1024;

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// This many pages, committed.
    Pages(u64),
    /// This many rows, committed.
    Rows(u64),
    /// Nothing: it is unknown which pages or rows would have to be written.
    Outdated,
    /// Nothing: another process held a lock on the database for longer than the busy timeout of `to`.
    Locked,
}

/// Gives `to` the content of `from`, in one transaction. Calls `go_on` between steps, with the part that is done,
/// and `commit` right before the step that cannot be undone.
pub(super) fn write(
    from: &Connection,
    to: &mut Connection,
    page_size: u32,
    durable: Durable,
    mut go_on: impl FnMut(f64) -> Result<()>,
    commit: impl FnOnce() -> Result<()>,
) -> Result<Written> {
    // Outlives the transaction.
    let _log = LogBuffer::begin(to, durable);
    let backup = Backup::new(from, to).context("cannot write into the live database")?;
    let step = |pages| match backup.step(pages) {
        Ok(StepResult::Busy | StepResult::Locked) => Ok(None),
        Ok(other) => Ok(Some(other)),
        Err(error) => Err(error),
    };
    // Takes the lock and counts the pages.
    if step(0).context("cannot lock the live database")?.is_none() {
        return Ok(Written::Locked);
    }
    let at_once = STEP / page_size as i32;
    let pages = backup.progress().pagecount;
    while backup.progress().remaining > at_once {
        go_on(1.0 - f64::from(backup.progress().remaining) / f64::from(pages))?;
        if step(at_once)
            .context("cannot write into the live database")?
            .is_none()
        {
            return Ok(Written::Locked);
        }
    }
    commit()?;
    match step(-1).map_err(not_committed)? {
        Some(StepResult::Done) => Ok(Written::Pages(pages as u64)),
        Some(_) => Err(Failed::CopyDidNotEnd.into()),
        None => Ok(Written::Locked),
    }
}

/// Whether the live database is known to be unchanged. After a disk error that is not known; see [`not_committed`].
pub(super) fn nothing_came_of(outcome: &Result<Written>) -> bool {
    match outcome {
        Ok(Written::Pages(_) | Written::Rows(_)) => false,
        Err(Error::Failed(Failed::Sqlite { source, .. })) => {
            source.sqlite_error_code() != Some(ErrorCode::SystemIoFailure)
        }
        Ok(Written::Outdated | Written::Locked) | Err(_) => true,
    }
}

/// The error of a commit. SQLite rolls back what it could not sync. If the disk refuses that sync, too, the next
/// process that opens the database may find all of the new content in the WAL.
pub(super) fn not_committed(source: rusqlite::Error) -> Error {
    let what = match source.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => {
            "the disk failed while SQLite committed. The live database is whole: it is either the old or the new one. Check \
             which, and try again"
        }
        _ => "cannot write into the live database",
    };
    Error::sqlite(what, source)
}
