//! Exit status 4: a process or a disk did not let go in time, or changed the database meanwhile. Nothing was swapped,
//! and the same command may work a little later.

use std::path::PathBuf;
use std::time::Duration;

use super::words::{process, seconds};
use crate::visible::{self, Shown};

/// What was in the way.
#[derive(Debug, thiserror::Error)]
pub enum Busy {
    /// SQLite found the database locked.
    #[error(
        "{what}: {} by another process. Try again when that process has finished",
        visible::line(source.to_string())
    )]
    Locked {
        /// The operation that failed, with the path.
        what: String,
        source: rusqlite::Error,
    },
    /// A process keeps readers out.
    #[error(
        "cannot read {}: {} keeps it locked. End its transaction and try again. With PRAGMA locking_mode = EXCLUSIVE the lock \
         stays until the connection is closed",
        database.shown(),
        process(holder.as_deref())
    )]
    ReadersOut {
        database: PathBuf,
        holder: Option<String>,
    },
    /// A process keeps the worker from writing.
    #[error("{} is locked by a transaction. It is open in {holders}. End the transaction there and try again", database.shown())]
    WritersOut { database: PathBuf, holders: String },
    /// A process outside the fleet has the live file open, or keeps it locked.
    #[error("{} is open in {holders}, {}", database.shown(), close_it(*of_the_application))]
    Open {
        database: PathBuf,
        holders: String,
        /// Whether these processes belong to the application.
        of_the_application: bool,
    },
    /// A process has the version open that is to be rolled back to.
    #[error("{} is open in {holders}. Close it there and try again", version.shown())]
    VersionOpen { version: PathBuf, holders: String },
    /// A rollback is about to move the version.
    #[error(
        "a rollback is under way and uses {}. Try again when it has finished. If it was killed, the next push or rollback, or a \
         restart of the application, puts the file back",
        version.shown()
    )]
    VersionHidden { version: PathBuf },
    /// Another worker swaps the database.
    #[error("{other} is already swapping {}. Try again when it has finished", database.shown())]
    Swapping { database: PathBuf, other: String },
    /// The application did not come to rest.
    #[error(
        "gave up after {}: the application was still busy. Nothing was swapped. In the way:\n- {}\n{advice}",
        seconds(*after),
        in_the_way(processes)
    )]
    Application {
        after: Duration,
        /// What each process was doing.
        processes: Vec<String>,
        advice: String,
    },
    /// Members hold a lock file that is not the current one.
    #[error(
        "another program replaced {}, and {members} did not notice within {:.1} s. Nothing was swapped. \
         Restart that process and try again",
        lock_file.shown(),
        after.as_secs_f64()
    )]
    Astray {
        lock_file: PathBuf,
        members: String,
        after: Duration,
    },
    /// Another program has changed a file that the command relies on.
    #[error("another program {change} {} in the meantime. Nothing was swapped. Try again", path.shown())]
    Changed { path: PathBuf, change: Change },
    /// The live database existed when the command began.
    #[error(
        "another program removed {} in the meantime. Nothing was swapped. Restore it and try again, or try again to \
         create it",
        database.shown()
    )]
    Removed { database: PathBuf },
    /// The source of a pull existed when the command began.
    #[error("another program removed the database before it was copied. If that was intended, there is nothing to do. Otherwise, restore it and try again")]
    SourceRemoved,
    /// The live database has another schema than when it was compared.
    #[error("the schema of {} changed while hotswap waited. Nothing was swapped. Try again", database.shown())]
    SchemaChanged { database: PathBuf },
    /// The live database was empty when it was compared.
    #[error("{} was empty when the push began, and now has rows in {table}. Nothing was swapped. Try again", database.shown())]
    NotEmptyAnyMore { database: PathBuf, table: String },
    /// The live file cannot be replaced any more.
    #[error("since the command began, {} {obstacle}. Nothing was swapped. Try again", database.shown())]
    NewObstacle { database: PathBuf, obstacle: String },
    /// The disk is too slow for a rename while requests wait. The worker tries again.
    #[error("the disk is too slow for a swap while requests wait")]
    SlowDisk,
    /// SQLite counted a write since `--if-match` was compared. The worker compares again.
    #[error("the database was written while --if-match was compared")]
    Written,
    /// The disk was too slow until the timeout.
    #[error(
        "gave up: the disk of {} needs more than half of max_pause ({}) for a sync. Nothing was swapped. \
         Try again when the disk is less busy, or pass a longer --max-pause",
        folder.shown(),
        seconds(*max_pause)
    )]
    SlowSync { folder: PathBuf, max_pause: Duration },
    /// The disk did not answer while requests waited.
    #[error(
        "gave up: the disk was too slow to finish within max_pause ({:.1} s). Nothing was swapped. Try again when the disk is \
         less busy, or pass a longer --max-pause",
        max_pause.as_secs_f64()
    )]
    DiskDoesNotAnswer { max_pause: Duration },
    /// Writing in place took longer than estimated.
    #[error(
        "the database {why}, so it was written in place, and rolled back at {percent:.0} % when max_pause ({:.1} s) was over. \
         Try again when the machine is less busy, or pass --in-place=always to let requests wait. Or {way_out}",
        max_pause.as_secs_f64()
    )]
    SlowWrite {
        /// Why the worker wrote in place.
        why: String,
        max_pause: Duration,
        percent: f64,
        way_out: String,
    },
    /// The pages that differ cannot be determined.
    #[error(
        "{} changed too much while hotswap computed the differences. Nothing was swapped. Try again",
        database.shown()
    )]
    Outdated { database: PathBuf },
    /// Other processes write the pushed tables faster than the worker compares them.
    #[error(
        "the application or another program wrote the pushed tables of {} again and again while hotswap compared them. To compare \
         them while requests wait would take longer than max_pause. Nothing was changed. Try again when these tables are written less \
         often, or pass a longer --max-pause",
        database.shown()
    )]
    TablesWritten { database: PathBuf },
}

/// What another program did to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// There was no file.
    Created,
    /// There is no file any more.
    Removed,
    /// The path leads to another file.
    Replaced,
    /// One or the other.
    RemovedOrReplaced,
}

impl std::fmt::Display for Change {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Change::Created => "created",
            Change::Removed => "removed",
            Change::Replaced => "replaced",
            Change::RemovedOrReplaced => "removed or replaced",
        })
    }
}

fn close_it(of_the_application: bool) -> &'static str {
    match of_the_application {
        false => {
            "which hotswap does not manage. Close it there, or leave out --in-place=never and hotswap writes into the file"
        }
        true => {
            "which belongs to this application and has it attached to another database, or opened it through a library that hotswap \
             does not know. DETACH or close it there, or leave out --in-place=never and hotswap writes into the file"
        }
    }
}

fn in_the_way(processes: &[String]) -> String {
    match processes {
        [] => "(no process reported what it was doing)".into(),
        processes => processes.join("\n- "),
    }
}
