//! The one error type. Each variant says who has to act, and so decides the exit status.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::visible::{self, Shown};
use crate::ExitCode;

/// The result of everything in this crate that can fail for a user to read about.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, worded for the person who typed the command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server answers.
    #[error("{0}")]
    CannotConnect(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// The file, or the request, was looked at and turned down; nothing changed.
    #[error("{0}")]
    Refused(String),
    /// The schema of the pushed file is not that of the live database; nothing changed.
    #[error("schema mismatch\n{statements}\n{names}\n{advice}")]
    SchemaMismatch {
        /// Those that differ, of either side.
        statements: String,
        /// What differs, by name.
        names: String,
        /// What can be done.
        advice: String,
    },
    /// Somebody kept the database until the deadline; nothing changed.
    #[error("{0}")]
    Busy(String),
    /// Somebody outside of the fleet has the live file open, or keeps it locked. Nothing changed.
    #[error("{database} is open in {who}, {} and copy again", of_whom(*of_the_application))]
    Stranger {
        /// The live path.
        database: String,
        /// Names, as far as they can be had.
        who: String,
        /// Whether they are processes of the application.
        of_the_application: bool,
    },
    /// The disk is too slow for a rename while requests wait. Nothing changed.
    #[error("the disk is too slow for a swap while requests wait")]
    SlowDisk,
    /// A system call failed.
    #[error("{what}: {}", in_words(source))]
    Io {
        /// What was being done, with the path.
        what: String,
        /// What the system answered.
        source: io::Error,
    },
    /// SQLite failed on a file that it should have been able to use.
    #[error("{what}: {}", visible::line(source.to_string()))]
    Sqlite {
        /// What was being done, with the path.
        what: String,
        /// What SQLite answered.
        source: rusqlite::Error,
    },
    /// Whoever read standard output does not any more. They know why, so nobody is told.
    #[error("nobody reads standard output any more")]
    NobodyReads,
    /// The other side of the connection did not keep to the protocol.
    #[error("{0}")]
    Broken(String),
    /// The other side of the connection went away.
    #[error("{0}")]
    Gone(String),
}

impl Error {
    /// The same of a failure that came too late to undo anything, and says so: whatever a member could not be told
    /// by the board it learns from the locks.
    pub fn past_the_commit(self) -> Self {
        match self {
            Error::Io { what, source } => Error::Io {
                what: format!("the new database is in place and in use, but {what}"),
                source,
            },
            other => other,
        }
    }

    /// The same for a log, where a schema would be lines and lines.
    pub fn in_a_log(&self) -> String {
        match self {
            Error::SchemaMismatch { names, .. } => format!("schema mismatch: {names}"),
            other => other.to_string(),
        }
    }

    /// The exit status that a command failing with this error ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::CannotConnect(_) => ExitCode::CannotConnect,
            Error::Usage(_) => ExitCode::Usage,
            Error::Refused(_) | Error::SchemaMismatch { .. } => ExitCode::Refused,
            Error::Busy(_) | Error::Stranger { .. } | Error::SlowDisk => ExitCode::Busy,
            Error::Io { .. }
            | Error::Sqlite { .. }
            | Error::NobodyReads
            | Error::Broken(_)
            | Error::Gone(_) => ExitCode::Failed,
        }
    }
}

fn of_whom(of_the_application: bool) -> &'static str {
    match of_the_application {
        false => {
            "which hotswap does not manage. Leave out --in-place=never to have the new content written into the file, or close \
             it there"
        }
        true => {
            "which is of this application, by a connection that hotswap does not close: that of another database which has this \
             one attached, or one of another library. Leave out --in-place=never to have the new content written into the \
             file, or DETACH the database there"
        }
    }
}

/// What the system answered, without the number that Rust puts behind it.
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// Whether SQLite failed for what the machine did, and so says nothing about the file.
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

/// Says what was being done when a system call or SQLite failed.
pub trait Context<T> {
    /// `what` reads as the beginning of "…: No such file or directory".
    fn context(self, what: impl Into<String>) -> Result<T>;

    /// The same, with the path that was being worked on.
    fn on_path(self, what: &str, path: &Path) -> Result<T>
    where
        Self: Sized,
    {
        self.context(format!("{what} {}", path.shown()))
    }
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Io {
            what: what.into(),
            source,
        })
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|errno| Error::Io {
            what: what.into(),
            source: errno.into(),
        })
    }
}

impl<T> Context<T> for rusqlite::Result<T> {
    fn context(self, what: impl Into<String>) -> Result<T> {
        self.map_err(|source| match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Busy(format!(
                "{}: {} by another process; copy again when that process has released the lock",
                what.into(),
                visible::line(source.to_string())
            )),
            _ => Error::Sqlite {
                what: what.into(),
                source,
            },
        })
    }
}
