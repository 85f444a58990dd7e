//! The exit status of a command. The README documents it; scripts depend on the numbers.

use serde::{Serialize, Serializer};

use crate::error::Error;

/// The exit status of `hotswap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The command did everything that the user asked for, and the result is durable.
    Done = 0,
    /// No server answers at the socket.
    NoServer = 1,
    /// The command line itself is wrong.
    Usage = 2,
    /// hotswap has checked the file and refuses it. Nothing changed.
    Refused = 3,
    /// A process did not release the database before the deadline. Nothing changed.
    Busy = 4,
    /// A disk, a process or a connection failed. The database is whole.
    Failed = 5,
    /// The live database no longer has the content that `--if-match` names. Nothing changed.
    Changed = 6,
    /// The probe of the new database failed, and the previous version is back.
    RolledBack = 7,
}

impl ExitCode {
    /// Parses the number in the last frame of a session. Unknown numbers of a newer server count as failures.
    pub fn from_u8(code: u8) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::NoServer,
            2 => Self::Usage,
            3 => Self::Refused,
            4 => Self::Busy,
            6 => Self::Changed,
            7 => Self::RolledBack,
            _ => Self::Failed,
        }
    }
}

impl Serialize for ExitCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(*self as u8)
    }
}

impl From<ExitCode> for i32 {
    fn from(code: ExitCode) -> Self {
        code as u8 as i32
    }
}

impl Error {
    /// The exit status of a command that fails with this error.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::NoServer(_) => ExitCode::NoServer,
            Error::Usage(_) => ExitCode::Usage,
            Error::Refused(_) => ExitCode::Refused,
            Error::Busy(_) => ExitCode::Busy,
            Error::Failed(_) => ExitCode::Failed,
            Error::Changed(_) => ExitCode::Changed,
            Error::RolledBack(_) => ExitCode::RolledBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for code in [
            ExitCode::Done,
            ExitCode::NoServer,
            ExitCode::Usage,
            ExitCode::Refused,
            ExitCode::Busy,
            ExitCode::Failed,
            ExitCode::Changed,
            ExitCode::RolledBack,
        ] {
            assert_eq!(ExitCode::from_u8(code as u8), code);
        }
    }

    #[test]
    fn an_unknown_code_is_a_failure() {
        assert_eq!(ExitCode::from_u8(77), ExitCode::Failed);
    }
}
