//! The environment that a command runs in, and where it prints its errors.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::application::Application;
use super::socket;
use crate::client::{error_line, Abort, Outcome, Stdio, Streams};
use crate::error::{Error, Result, Usage};
use crate::exit_code::ExitCode;
use crate::visible;

/// The environment that a command runs in.
#[derive(Debug)]
pub struct Surroundings {
    /// The caller's folder; relative paths are relative to it. None if it has been deleted.
    pub folder: Option<PathBuf>,
    /// The script that was started. An application's binstub reveals the application's folder.
    pub program: Option<PathBuf>,
    /// `BUNDLE_GEMFILE`, for the same purpose.
    pub gemfile: Option<PathBuf>,
    /// The application whose process this is, if the command does not have its own process.
    pub application: Option<Application>,
    /// Standard input, output and error.
    pub streams: Streams,
    /// Whether the command is the whole process, so that a signal may end it.
    pub owns_process: bool,
    /// Ends the command from outside.
    pub abort: Arc<Abort>,
}

/// Refuses `--offline` without an application that has databases.
pub(super) fn require_application(folder: &Path, surroundings: &Surroundings) -> Result<()> {
    if surroundings.owns_process {
        let folder = folder.to_owned();
        return Err(Usage::NoRailsApplication { folder }.into());
    }
    let application = surroundings.application.as_ref();
    if application.is_none_or(|application| application.config.settings.databases.is_empty()) {
        let environment = std::env::var("RAILS_ENV").unwrap_or_else(|_| "development".into());
        return Err(Usage::NoDatabase { environment }.into());
    }
    Ok(())
}

/// The server's socket: the one that the user has `named`, or that of the application.
pub(super) fn socket_of(named: Option<&PathBuf>, folder: &Path, surroundings: &Surroundings) -> PathBuf {
    match named.cloned().or_else(socket::of_the_environment) {
        Some(named) => folder.join(named),
        None => match &surroundings.application {
            Some(application) => application.config.socket.clone(),
            None => socket::find(
                folder,
                surroundings.program.as_deref(),
                surroundings.gemfile.as_deref(),
            ),
        },
    }
}

pub(super) fn report(stderr: &mut Stdio, error: &Error) -> Outcome {
    report_about(stderr, None, error)
}

/// Reports an error of one of several copies: that of `subject`.
pub(super) fn report_about(stderr: &mut Stdio, subject: Option<&str>, error: &Error) -> Outcome {
    let line = error_line(subject, &error.to_string());
    print(stderr, &format!("{}\n", visible::lines(line)));
    error.into()
}

/// Prints `text`. A reader that has gone is not a failure.
pub(super) fn print(to: &mut Stdio, text: &str) -> Outcome {
    let _ = to.write_all(text.as_bytes());
    ExitCode::Done.into()
}
