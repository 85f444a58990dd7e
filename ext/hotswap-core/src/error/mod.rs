//! The error type of this crate: what went wrong, as data, and one message for each cause.
//!
//! An error says who has to act, and so determines the exit status. There is one file for each status, and in it one
//! variant for each cause. The text of a variant is what the user reads.

mod bad_file;
mod busy;
mod changed;
mod failed;
mod no_server;
mod peer;
mod refused;
mod rolled_back;
mod unredactable;
mod usage;
mod words;

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::visible::Shown;

pub use bad_file::BadFile;
pub use busy::{Busy, Change};
pub use changed::Changed;
pub use failed::Failed;
pub use no_server::NoServer;
pub use peer::{Gone, Protocol};
pub use refused::Refused;
pub use rolled_back::RolledBack;
pub use unredactable::Unredactable;
pub use usage::{FileKind, Usage};
pub use words::{in_words, seconds, TableNames};

/// The result of everything in this crate that can fail in a way that a user reads about.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure, by exit status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server answers.
    #[error(transparent)]
    NoServer(#[from] NoServer),
    /// The command line is wrong.
    #[error(transparent)]
    Usage(#[from] Usage),
    /// hotswap has checked the file or the request, and refuses it. Nothing changed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A process or a disk did not let go in time. Nothing changed.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// A disk, a process or a connection failed. The database is whole.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The live database is not the one that the user has seen. Nothing changed.
    #[error(transparent)]
    Changed(#[from] Changed),
    /// The new database did not pass its probe, and the previous version is back.
    #[error(transparent)]
    RolledBack(#[from] RolledBack),
}

impl From<BadFile> for Error {
    fn from(cause: BadFile) -> Self {
        Refused::from(cause).into()
    }
}

impl From<Gone> for Error {
    fn from(cause: Gone) -> Self {
        Failed::from(cause).into()
    }
}

impl From<Protocol> for Error {
    fn from(cause: Protocol) -> Self {
        Failed::from(cause).into()
    }
}

impl Error {
    /// A system call failed at `what`, which names the path.
    pub fn io(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        let (what, source) = (what.into(), source.into());
        Failed::Io { what, source }.into()
    }

    /// SQLite failed at `what`, which names the path.
    pub fn sqlite(what: impl Into<String>, source: rusqlite::Error) -> Self {
        let what = what.into();
        Failed::Sqlite { what, source }.into()
    }

    /// Adds to a failure past the commit point that the new content is in place: a new file, or new rows in the old
    /// one. What a member could not read from the board, it learns from the locks.
    pub fn past_the_commit(self) -> Self {
        match self {
            Error::Failed(Failed::Io { what, source }) => Error::io(
                format!("the new content is in place and in use, but {what}"),
                source,
            ),
            other => other,
        }
    }

    /// Whether the system or SQLite reports the failure, so that another program may have caused it.
    pub fn is_of_a_call(&self) -> bool {
        matches!(self, Error::Failed(Failed::Io { .. } | Failed::Sqlite { .. }))
    }

    /// Whether the process at the other end of a connection has gone.
    pub fn is_gone(&self) -> bool {
        matches!(self, Error::Failed(Failed::Gone(_)))
    }

    /// Whether the process at the other end of a connection has gone, or does not keep to the protocol.
    pub fn is_of_the_peer(&self) -> bool {
        let of_the_peer =
            |cause: &Failed| matches!(cause, Failed::Gone(_) | Failed::Protocol(_) | Failed::NotDurable);
        matches!(self, Error::Failed(cause) if of_the_peer(cause))
    }

    /// The message for a log, where a whole schema would take too many lines.
    pub fn in_a_log(&self) -> String {
        match self {
            Error::Refused(Refused::File(
                BadFile::SchemaMismatch { names, .. } | BadFile::TableMismatch { names, .. },
            )) => {
                format!("schema mismatch: {names}")
            }
            other => other.to_string(),
        }
    }
}

/// Whether SQLite failed because of the machine, so that the error says nothing about the file.
pub fn is_of_the_machine(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DiskFull
        )
    )
}

/// Adds the operation to an error of the system or of SQLite.
pub trait Context<T>: Sized {
    /// `what` returns the beginning of the message: "…: No such file or directory". It is called only if there is an error.
    fn explained(self, what: impl FnOnce() -> String) -> Result<T>;

    /// The same with a text.
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.explained(|| what.into())
    }

    /// The same, with the path that the operation worked on.
    fn on_path(self, what: &str, path: &Path) -> Result<T> {
        self.explained(|| format!("{what} {}", path.shown()))
    }
}

impl<T> Context<T> for io::Result<T> {
    fn explained(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::io(what(), source))
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn explained(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| Error::io(what(), errno))
    }
}

impl<T> Context<T> for rusqlite::Result<T> {
    fn explained(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                let what = what();
                Busy::Locked { what, source }.into()
            }
            _ => Error::sqlite(what(), source),
        })
    }
}
