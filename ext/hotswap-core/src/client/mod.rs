//! The client: one copy, from the greeting to the exit status.

mod abort;
mod connect;
mod dry_run;
mod outcome;
mod question;
mod signals;
mod source;
mod status;
mod stdio;
mod target;

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::content_id::ContentId;
use crate::error::{Error, Failed, FileKind, Gone, Result, Usage};
use crate::exit_code::ExitCode;
use crate::in_place::InPlace;
use crate::path::resolve;
use crate::percent::Percent;
use crate::protocol::{
    version_of, BodyReader, BodyWriter, Connection, Endpoint, Figures, Message, Piece, Plan, Request,
    STANDARD_INPUT,
};
use crate::selection::Selection;
use crate::server::{Config, Session};
use crate::sys::identity::Identity;
use crate::sys::oom::OutOfMemory;
use crate::visible::{self, Shown};

pub use abort::Abort;
use connect::{Opened, Way};
use dry_run::Report;
pub use outcome::Outcome;
pub use question::Question;
use source::Source;
pub use status::error_line;
use status::Listener;
use stdio::UntilAnswered;
pub use stdio::{Stdio, Streams};
use target::Target;

/// A parsed `hotswap cp`.
#[derive(Debug)]
pub struct Copy {
    /// As typed.
    pub src: OsString,
    /// As typed.
    pub dst: OsString,
    /// `--skip-integrity-check`.
    pub skip_integrity_check: bool,
    /// `--skip-schema-check`.
    pub skip_schema_check: bool,
    /// `--in-place`.
    pub in_place: Option<InPlace>,
    /// `--timeout`, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// `--max-pause`, in milliseconds.
    pub max_pause_ms: Option<u64>,
    /// `--if-match`.
    pub if_match: Option<ContentId>,
    /// `--if-changed`.
    pub if_changed: bool,
    /// `--max-shrink`.
    pub max_shrink: Option<Percent>,
    /// `--only` or `--except`.
    pub tables: Option<Selection>,
    /// `--allow-orphans`.
    pub allow_orphans: bool,
    /// `--redacted`.
    pub redacted: bool,
    /// Whether the user named a folder as the destination.
    pub into_folder: bool,
    /// The source, if errors have to name it: one of several.
    pub subject: Option<String>,
    /// `--dry-run`.
    pub dry_run: bool,
    /// `--probe`.
    pub probe: Option<String>,
    /// `--probe-timeout`, in milliseconds.
    pub probe_timeout_ms: Option<u64>,
    /// `--label`.
    pub label: Option<String>,
    /// `--offline`.
    pub offline: bool,
    /// `--json`: the caller prints what the command did, and not OK.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// The caller's folder.
    pub folder: PathBuf,
    /// The server's socket.
    pub socket: PathBuf,
    /// How this process starts the worker itself, if no process listens at the socket.
    pub here: Option<Config>,
    /// Whether a signal may end the process.
    pub owns_process: bool,
    /// Ends the command from outside.
    pub abort: Arc<Abort>,
}

impl Copy {
    /// Runs the copy. The server's messages are already on stderr; an error is one of the client's own.
    pub fn run(self, mut streams: Streams) -> Result<Outcome> {
        self.require_usable(&streams)?;
        let out_of_memory = OutOfMemory::so_far();
        if self.owns_process {
            signals::end_on_signals();
        }
        let request = Request {
            src: self.source(),
            dst: self.destination(),
            skip_integrity_check: self.skip_integrity_check,
            skip_schema_check: self.skip_schema_check,
            in_place: self.in_place,
            timeout_ms: self.timeout_ms,
            max_pause_ms: self.max_pause_ms,
            // Otherwise the identity is not computed for the user to not see it.
            identity: self.json || !self.quiet,
            if_match: self.if_match,
            if_changed: self.if_changed,
            max_shrink: self.max_shrink,
            tables: self.tables.clone(),
            allow_orphans: self.allow_orphans,
            redacted: self.redacted,
            into_folder: self.into_folder,
            dry_run: self.dry_run,
            probe: self.probe.clone(),
            probe_timeout_ms: self.probe_timeout_ms,
            folder: self.folder.clone(),
            label: self.label.clone(),
            offline: self.offline,
            may_decline: self.here.is_some(),
        };
        let start = |stderr| Listener::start(stderr, &streams.stderr, self.quiet, self.subject.clone());
        let handed_over = self.hand_over(&streams);
        let descriptors: Vec<_> = handed_over.iter().map(Stdio::as_fd).collect();
        let Opened {
            mut main,
            watch,
            mut listener,
            answer,
            session,
        } = connect::open(&self.way(&streams), &request, &descriptors, &self.abort, start)?;
        drop(descriptors);
        drop(handed_over);
        if self.offline && session.is_none() {
            listener.status(&format!("The server at {} does the work.", self.socket.shown()));
        }
        let pulls_to_file = matches!(answer, Message::Plan(Plan::ReceiveFile));
        let done = match answer {
            Message::Plan(Plan::SendFile) => self.send_file(&mut main, &streams.stdin),
            Message::Plan(Plan::SendStream) => self.send_stream(&mut main, &mut streams.stdin),
            Message::Plan(Plan::ReceiveFile) => self.receive_file(&mut main, &listener),
            Message::Plan(Plan::ReceiveStream) => {
                self.receive_stream(&mut main, &mut streams.stdout, &mut listener)
            }
            Message::Plan(Plan::Wait) => self.wait(&mut main, &streams.stdout),
            Message::Done { code, .. } => Ok(code.into()),
            _ => Err(Gone::Worker.into()),
        };
        drop(watch);
        if self.abort.asked() {
            drop(main);
            listener.finish();
            session.into_iter().for_each(Session::finish);
            return self.aborted(done, pulls_to_file, &mut streams.stderr);
        }
        match &done {
            Err(error) if !error.is_of_the_peer() => {
                // This is a failure of the client. The application's log should name it. The server's reaction to
                // the lost client explains nothing here.
                listener.abandon();
                let _ = main.send(&Message::Error(error.to_string()));
            }
            _ => {}
        }
        // The worker waits until this connection ends, so it must not be open while the client waits for the
        // worker's last message.
        drop(main);
        // The server's messages come before the client's own.
        let why = listener.finish();
        session.into_iter().for_each(Session::finish);
        let outcome = done.map_err(|error| match error.is_gone() {
            true => Failed::Killed {
                killer: out_of_memory.suspect().to_string(),
            }
            .into(),
            false => error,
        })?;
        let identity = outcome.figures.as_ref().and_then(|figures| figures.identity);
        if let Some(identity) = identity.filter(|_| !self.quiet && !self.json) {
            // A closed stream is not a failure.
            let _ = writeln!(streams.stderr, "identity: {identity}");
        }
        if let Some(Figures {
            database,
            dry_run: Some(run),
            ..
        }) = &outcome.figures
        {
            if !self.json {
                let refused = outcome.code != ExitCode::Done;
                let report = Report {
                    database,
                    run,
                    refused,
                }
                .to_string();
                // A closed stream is not a failure.
                let _ = streams.stdout.write_all(visible::lines(report).as_bytes());
            }
        } else if outcome.code == ExitCode::Done && !self.quiet && !self.json && self.dst != "-" {
            // In a pull, stdout receives the database or nothing.
            let ok = match pulls_to_file {
                true => &mut streams.stderr,
                false => &mut streams.stdout,
            };
            // A closed stream is not a failure.
            let _ = ok.write_all(b"OK\n");
        }
        Ok(Outcome { why, ..outcome })
    }

    /// The end of an aborted command. No worker is left that could change the database. Tells the user if the worker
    /// was faster. `pulls` is set for a pull to a file.
    fn aborted(&self, done: Result<Outcome>, pulls: bool, stderr: &mut Stdio) -> Result<Outcome> {
        let outcome = done?;
        if outcome.code == ExitCode::Done && self.dst != "-" && !self.dry_run {
            let news = match pulls {
                true => "the copy is complete",
                false => "the new content is in place",
            };
            // A closed standard error is not a failure.
            let _ = writeln!(stderr, "Interrupted too late: {news}");
        }
        Ok(outcome)
    }

    /// Refuses standard streams that cannot be meant.
    fn require_usable(&self, streams: &Streams) -> Result<()> {
        if self.src == "-" && streams.stdin.is_directory() {
            return Err(Usage::BadSource {
                name: STANDARD_INPUT.into(),
                kind: FileKind::Directory,
            }
            .into());
        }
        if self.src == "-" && streams.stdin.is_terminal() {
            return Err(Usage::InputIsTerminal.into());
        }
        if self.dst == "-" && streams.stdout.is_terminal() {
            return Err(Usage::OutputIsTerminal.into());
        }
        Ok(())
    }

    /// The source of the copy.
    pub fn source(&self) -> Endpoint {
        self.endpoint(&self.src)
    }

    /// The destination of the copy.
    pub fn destination(&self) -> Endpoint {
        self.endpoint(&self.dst)
    }

    fn endpoint(&self, raw: &OsStr) -> Endpoint {
        endpoint(&self.folder, raw)
    }

    /// The way to a worker.
    fn way(&self, streams: &Streams) -> Way<'_> {
        Way {
            socket: &self.socket,
            here: self.here.as_ref(),
            // This process may log to its standard output as well.
            silent: self.dst == "-" && streams.stdout.is_that_of_the_process(),
        }
    }

    /// The user's standard input or output, if the worker can read or write it itself.
    fn hand_over(&self, streams: &Streams) -> Option<Stdio> {
        match (self.src == "-", self.dst == "-") {
            (true, _) => streams.stdin.source_to_hand_over(),
            (_, true) => streams.stdout.target_to_hand_over(),
            _ => None,
        }
    }

    fn wait(&self, main: &mut Connection, stdout: &Stdio) -> Result<Outcome> {
        let outcome = finish(main)?;
        if outcome.code != ExitCode::Done && self.dst == "-" && stdout.is_broken() {
            return Err(self.stdout_failed(ErrorKind::BrokenPipe.into()));
        }
        Ok(outcome)
    }

    fn send_file(&self, main: &mut Connection, stdin: &Stdio) -> Result<Outcome> {
        let source = match self.src == "-" {
            true => Source::of_stdin(stdin.source_to_hand_over().ok_or(Gone::Worker)?.into())?,
            false => {
                let source = self.source();
                Source::open(&source.absolute, &source.raw, !self.owns_process)?
            }
        };
        main.send_with(&source.message(), &source.descriptors())?;
        finish(main)
    }

    fn send_stream(&self, main: &mut Connection, stdin: &mut Stdio) -> Result<Outcome> {
        let mut body = BodyWriter::new(main);
        let mut input = UntilAnswered::new(stdin, main.stream().as_fd());
        match body.copy_from(&mut input) {
            Ok(()) => {
                // A server that stops reading sends the reason on the other socket, and Done on this one. Input that
                // ends because its program was interrupted is not complete.
                if !self.abort.asked() && !input.ended_early {
                    let _ = body.finish();
                }
            }
            Err(error) if error.is_of_the_peer() => {}
            Err(error) => return Err(error),
        }
        finish(main)
    }

    fn receive_file(&self, main: &mut Connection, listener: &Listener) -> Result<Outcome> {
        let Endpoint { raw, absolute, .. } = self.destination();
        let mut target = Target::create(&absolute, &raw)?;
        main.send_with(&Message::Target, &[target.file().as_fd()])?;
        let outcome = finish(main)?;
        if self.abort.asked() {
            return Err(Gone::Interrupted.into());
        }
        if outcome.code == ExitCode::Done {
            let users = target.users().names;
            target.put_in_place()?;
            if let Some(doubt) = target.doubt() {
                listener.status(&format!("WARNING: {doubt}"));
            }
            if !users.is_empty() {
                listener.status(&format!(
                    "WARNING: {raw} is open in {}. What that process writes goes to the replaced file and is lost. \
                     Close it there",
                    users.join(", ")
                ));
            }
        }
        Ok(outcome)
    }

    fn receive_stream(
        &self,
        main: &mut Connection,
        stdout: &mut Stdio,
        listener: &mut Listener,
    ) -> Result<Outcome> {
        let mut body = BodyReader::new(main);
        loop {
            let received = body.received();
            match body.receive()? {
                Piece::Chunk(chunk) => {
                    stdout
                        .write_all(chunk)
                        .map_err(|error| self.stdout_failed(error))?;
                    listener.progress("receiving", received, 0);
                }
                Piece::End => return finish(main),
                Piece::Instead(Message::Done { code, .. }) if code != 0 => return Ok(code.into()),
                Piece::Instead(_) => return Err(Gone::Worker.into()),
            }
        }
    }

    fn stdout_failed(&self, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::BrokenPipe && self.owns_process {
            // Ends as any program in a pipe does. The process that closed the pipe knows why.
            signals::end_quietly(128 + libc::SIGPIPE);
        }
        Error::io("cannot write to standard output", error)
    }
}

/// What the user calls `raw`, as seen from `folder`.
pub fn endpoint(folder: &Path, raw: &OsStr) -> Endpoint {
    let text = raw.to_str().and_then(version_of);
    let version = text.filter(|_| is_absent(&folder.join(raw)));
    let absolute = match version {
        Some((_, name)) => folder.join(name),
        None => folder.join(raw),
    };
    Endpoint {
        is_version: version.is_some(),
        raw: visible::line(raw.as_bytes()),
        stdio: raw == "-",
        resolved: resolve(&absolute),
        identity: std::fs::metadata(&absolute)
            .ok()
            .map(|metadata| Identity::of(&metadata)),
        absent: is_absent(&absolute),
        absolute,
    }
}

/// Waits for the end of the command.
fn finish(main: &mut Connection) -> Result<Outcome> {
    let mut lost = Failed::from(Gone::Worker);
    loop {
        match main.receive() {
            // What comes after the probe may be a rollback.
            Ok(Some(Message::Committed)) if !matches!(lost, Failed::NotProbed) => lost = Failed::NotDurable,
            Ok(Some(Message::Committed)) => {}
            Ok(Some(Message::Probing)) => lost = Failed::NotProbed,
            Ok(Some(Message::Done { code, figures })) => {
                return Ok(Outcome {
                    figures,
                    ..code.into()
                })
            }
            _ => return Err(lost.into()),
        }
    }
}

/// Whether there is no file at `path`.
fn is_absent(path: &Path) -> bool {
    let absent = [ErrorKind::NotFound, ErrorKind::NotADirectory];
    std::fs::symlink_metadata(path).is_err_and(|error| absent.contains(&error.kind()))
}
