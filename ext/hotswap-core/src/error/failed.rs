//! Exit status 5: a disk, a process or a connection failed. The database is whole.

use std::io;
use std::path::PathBuf;

use super::peer::{Gone, Protocol};
use super::words::in_words;
use crate::visible::{self, Shown};

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The probe failed, and the rollback was not possible.
    #[error("the probe failed: {why}. The pushed database stays in use, because the rollback failed, too: {reason}{}",
        match can_retry { true => ". To go back, run hotswap rollback", false => "" })]
    NotRolledBack {
        why: String,
        reason: String,
        /// Whether the same rollback may work later. Otherwise the reason says what to do.
        can_retry: bool,
    },
    /// The probe failed, and there is no version to go back to.
    #[error(
        "the probe failed: {why}. The pushed database stays in use, because {database} had no content before the push. Push a file \
         that passes the probe"
    )]
    NothingBefore { why: String, database: String },
    /// The worker ended after the commit, before it had reported the outcome of the probe.
    #[error(
        "the new content is in place, but the worker was killed before it reported the outcome of the probe. hotswap log \
         shows whether the worker went back to the previous version. If it did not, run hotswap rollback"
    )]
    NotProbed,
    /// A system call failed.
    #[error("{what}: {}", in_words(source))]
    Io {
        /// The operation that failed, with the path.
        what: String,
        source: io::Error,
    },
    /// SQLite failed on a file that it should have been able to use.
    #[error("{what}: {}", visible::line(source.to_string()))]
    Sqlite {
        /// The operation that failed, with the path.
        what: String,
        source: rusqlite::Error,
    },
    /// The process at the other end of a connection has gone.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The process at the other end of a connection does not keep to the protocol.
    #[error(transparent)]
    Protocol(#[from] Protocol),
    /// The reader of standard output has gone. It knows why, so no message is printed.
    #[error("the program that read standard output has ended")]
    OutputClosed,
    /// The worker was killed. One that is not killed reports its end.
    #[error(
        "the worker was killed before it reported the outcome ({killer}). The database is whole: it is either the old or the new \
         one. See the application's log, then try again"
    )]
    Killed { killer: String },
    /// The worker ended between the commit and the last sync.
    #[error(
        "the new content is in place, but the worker ended before the disk confirmed it. A power cut now may bring \
         the old one back. See the application's log"
    )]
    NotDurable,
    /// The worker ended before it had taken over the connections.
    #[error("{} ended before it took over the command", program.shown())]
    EndedAtOnce { program: PathBuf },
    /// The disk of a pull's target does not answer.
    #[error(
        "gave up: the disk of {target} has not answered for {seconds} s. The worker released the database, so the \
         application goes on. Copy to another disk, or try again when this one answers"
    )]
    TargetStandsStill { target: String, seconds: u64 },
    /// SQLite reports success, and the database has other pages.
    #[error(
        "{} differs from the pushed file, although SQLite reported success: SQLite or the disk is faulty. Stop the application \
         and restore a backup",
        database.shown()
    )]
    NotAsPushed { database: PathBuf },
    /// A row that the comparison found is not there.
    #[error(
        "the table {table} no longer has the rows that hotswap compared. Nothing was changed. Try again; if that fails, too, check \
         the database (PRAGMA integrity_check)"
    )]
    RowMoved { table: String },
    /// SQLite's backup did not report its end.
    #[error("SQLite did not finish writing into the live database, and rolled the write back")]
    CopyDidNotEnd,
    /// A file that only this worker knows was locked.
    #[error("cannot measure how fast the disk is: the file for the measurement was locked. Try again")]
    RehearsalLocked,
    /// SQLite's descriptor of a file was not found.
    #[error("cannot find SQLite's open descriptor of {}", file.shown())]
    NoDescriptor { file: PathBuf },
    /// SQLite was built without the file system that hotswap extends.
    #[error("the application's SQLite was built without the VFS \"unix\", which hotswap needs")]
    NoFileSystem,
    /// The server cannot listen, because there is a file.
    #[error("{} exists and is not a socket. Remove it, or set config.hotswap.socket_path", path.shown())]
    NotASocket { path: PathBuf },
    /// The server cannot listen, because another program does.
    #[error(
        "another program{} listens at {}. Stop it, or set config.hotswap.socket_path",
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default(),
        path.shown()
    )]
    SocketInUse { path: PathBuf, pid: Option<i32> },
}
