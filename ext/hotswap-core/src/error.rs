//! The error type of this crate. Each variant says who has to act, and so determines the exit status.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::visible::{self, Shown};
use crate::ExitCode;

/// The result of everything in this crate that can fail in a way that a user reads about.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure, worded for the user who ran the command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server answers.
    #[error("{0}")]
    CannotConnect(String),
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// hotswap has checked the file or the request, and refuses it. Nothing changed.
    #[error("{0}")]
    Refused(String),
    /// The schema of the pushed file differs from that of the live database. Nothing changed.
    #[error("schema mismatch\n{statements}\n{names}\n{advice}")]
    SchemaMismatch {
        /// The statements that differ, of both schemas.
        statements: String,
        /// The names of the objects that differ.
        names: String,
        /// What the user can do.
        advice: String,
    },
    /// A process did not release the database before the deadline. Nothing changed.
    #[error("{0}")]
    Busy(String),
    /// A process outside the fleet has the live file open, or keeps it locked. Nothing changed.
    #[error("{database} is open in {who}, {} and copy again", of_whom(*of_the_application))]
    Stranger {
        /// The live path.
        database: String,
        /// The names of the processes, as far as they are known.
        who: String,
        /// Whether these processes belong to the application.
        of_the_application: bool,
    },
    /// The disk is too slow for a rename while requests wait. Nothing changed.
    #[error("the disk is too slow for a swap while requests wait")]
    SlowDisk,
    /// A system call failed.
    #[error("{what}: {}", in_words(source))]
    Io {
        /// The operation that failed, with the path.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// SQLite failed on a file that it should have been able to use.
    #[error("{what}: {}", visible::line(source.to_string()))]
    Sqlite {
        /// The operation that failed, with the path.
        what: String,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The reader of standard output has gone. It knows why, so no message is printed.
    #[error("nobody reads standard output any more")]
    NobodyReads,
    /// The peer violated the protocol.
    #[error("{0}")]
    Broken(String),
    /// The peer has closed the connection.
    #[error("{0}")]
    Gone(String),
}

impl Error {
    /// Adds to a failure past the commit point that the new database is in place. What a member could not read
    /// from the board, it learns from the locks.
    pub fn past_the_commit(self) -> Self {
        match self {
            Error::Io { what, source } => Error::Io {
                what: format!("the new database is in place and in use, but {what}"),
                source,
            },
            other => other,
        }
    }

    /// The message for a log, where a whole schema would take too many lines.
    pub fn in_a_log(&self) -> String {
        match self {
            Error::SchemaMismatch { names, .. } => format!("schema mismatch: {names}"),
            other => other.to_string(),
        }
    }

    /// The exit status of a command that fails with this error.
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

/// The system's message, without the number that Rust appends.
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
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
pub trait Context<T> {
    /// `what` is the beginning of the message: "…: No such file or directory".
    fn context(self, what: impl Into<String>) -> Result<T>;

    /// The same, with the path that the operation worked on.
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
