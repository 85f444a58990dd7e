//! How a command ended, for the program that runs it.

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::protocol::Figures;

/// The end of a command.
#[derive(Debug)]
pub struct Outcome {
    /// The exit status.
    pub code: ExitCode,
    /// What the command did, if it did all of it.
    pub figures: Option<Figures>,
    /// Why it failed, as it is printed after `ERROR: `.
    pub why: Option<String>,
}

impl From<ExitCode> for Outcome {
    fn from(code: ExitCode) -> Self {
        Self {
            code,
            figures: None,
            why: None,
        }
    }
}

impl From<u8> for Outcome {
    /// The outcome from the number in the last frame of a session.
    fn from(code: u8) -> Self {
        ExitCode::from_u8(code).into()
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        Self {
            why: Some(error.to_string()),
            ..error.exit_code().into()
        }
    }
}
