//! `hotswap status` and `hotswap log`: asks, and prints the answer.

use std::ffi::OsString;
use std::io::Write;

use super::args::{self, Place};
use super::surroundings::{print, report, require_application, socket_of, Surroundings};
use super::text;
use crate::client::{endpoint, Outcome, Question, Stdio};
use crate::error::{Context, Error, Protocol, Result, Usage};
use crate::protocol::{About, Query};
use crate::status::Status;
use crate::visible;

/// What the user typed, of either command.
pub(super) struct Typed {
    pub about: About,
    pub database: Option<OsString>,
    pub newest: Option<usize>,
    pub watch: bool,
    pub json: bool,
    pub place: Place,
}

impl From<args::Status> for Typed {
    fn from(status: args::Status) -> Self {
        Self {
            about: About::Status,
            database: status.database,
            newest: None,
            watch: status.watch,
            json: status.json,
            place: status.place,
        }
    }
}

impl From<args::Log> for Typed {
    fn from(log: args::Log) -> Self {
        Self {
            about: About::Log,
            database: log.database,
            newest: log.newest,
            watch: false,
            json: log.json,
            place: log.place,
        }
    }
}

/// Runs the command.
pub(super) fn ask(typed: Typed, mut surroundings: Surroundings) -> Outcome {
    let json = typed.json;
    let outcome = match question(&typed, &mut surroundings) {
        Ok(question) => question.ask(&mut surroundings.streams, |answer, stdout| {
            show(&typed, answer, stdout)
        }),
        Err(error) => Err(error),
    };
    let outcome = outcome.unwrap_or_else(|error| report(&mut surroundings.streams.stderr, &error));
    if json && outcome.why.is_some() {
        print(
            &mut surroundings.streams.stdout,
            &format!("{}\n", outcome.to_json()),
        );
    }
    outcome
}

fn question(typed: &Typed, surroundings: &mut Surroundings) -> Result<Question> {
    let folder = surroundings.folder.take().ok_or(Usage::NoFolder)?;
    if typed.place.offline {
        require_application(&folder, surroundings)?;
    }
    let socket = socket_of(typed.place.socket.as_ref(), &folder, surroundings);
    let application = surroundings.application.as_ref();
    let named = typed.database.as_ref().map(|raw| endpoint(&folder, raw));
    Ok(Question {
        query: Query {
            about: typed.about,
            database: named,
            newest: typed.newest,
        },
        watch: typed.watch,
        here: application.and_then(|application| application.here(&socket)),
        socket,
        owns_process: surroundings.owns_process,
        abort: surroundings.abort.clone(),
    })
}

/// Prints one answer.
fn show(typed: &Typed, answer: &[u8], stdout: &mut Stdio) -> Result<()> {
    let mut text = match (typed.json, typed.about) {
        (true, About::Status) => [answer, b"\n"].concat(),
        (true, About::Log) => answer.to_vec(),
        (false, About::Status) => {
            let status: Status = parsed(answer)?;
            visible::lines(text::of_status(&status, typed.database.is_some())).into_bytes()
        }
        (false, About::Log) => {
            let lines = answer
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty());
            let entries = lines.filter_map(|line| serde_json::from_slice(line).ok());
            entries
                .map(|entry| visible::line(text::of_entry(&entry)) + "\n")
                .collect::<String>()
                .into_bytes()
        }
    };
    if typed.watch && !typed.json {
        // On a terminal, each answer takes the place of the one before.
        let before: &[u8] = if stdout.is_terminal() {
            b"\x1b[H\x1b[2J\x1b[3J"
        } else {
            b""
        };
        text = [before, &text, if stdout.is_terminal() { b"" } else { b"\n" }].concat();
    }
    stdout
        .write_all(&text)
        .context("cannot write to standard output")?;
    stdout.flush().context("cannot write to standard output")
}

fn parsed<T: serde::de::DeserializeOwned>(answer: &[u8]) -> Result<T> {
    serde_json::from_slice(answer).map_err(|source| Error::from(Protocol::UnknownMessage { source }))
}
