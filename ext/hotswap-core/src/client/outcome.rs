//! How a command ended, for the program that runs it.

use serde::Serialize;

use crate::error::Error;
use crate::exit_code::ExitCode;
use crate::protocol::Figures;

/// The end of a command.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// What the command did, if it did all of it.
    #[serde(flatten)]
    pub figures: Option<Figures>,
    /// The exit status.
    #[serde(rename = "exit_status")]
    pub code: ExitCode,
    /// Why it failed, as it is printed after `ERROR: `.
    #[serde(rename = "error", skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Outcome {
    /// The outcome as one line of JSON, as docs/json.md documents it.
    pub fn to_json(&self) -> String {
        // Fails only for maps whose keys are not text.
        serde_json::to_string(self).unwrap_or_default()
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Way;

    #[test]
    fn the_json_has_what_the_command_did_or_why_it_failed() {
        let done = Outcome {
            figures: Some(Figures {
                command: "push".into(),
                database: "storage/production.sqlite3".into(),
                bytes: 4096,
                way: Some(Way::Rename),
                held_ms: Some(3.25),
                ..Figures::default()
            }),
            ..ExitCode::Done.into()
        };
        assert_eq!(
            done.to_json(),
            r#"{"command":"push","database":"storage/production.sqlite3","bytes":4096,"way":"rename","held_ms":3.25,"exit_status":0}"#
        );
        let failed = Outcome {
            why: Some("why".into()),
            ..ExitCode::Refused.into()
        };
        assert_eq!(failed.to_json(), r#"{"exit_status":3,"error":"why"}"#);
    }
}
