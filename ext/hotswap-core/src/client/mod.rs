//! The client: one copy, from the greeting to the exit status.

mod interrupt;
mod listener;
mod source;
mod stdio;
mod target;

use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};
use crate::exit_code::ExitCode;
use crate::protocol::{
    BodyReader, BodyWriter, Connection, Endpoint, Identity, Message, Piece, Plan, Request, PROTOCOL,
};
use crate::server::connect;
use crate::worker::resolve;
use listener::Listener;
use source::Source;
pub use stdio::Stdio;
use target::Target;

/// How long a server may take to greet. Its worker may be busy for as long as it likes after that.
const GREETING: Duration = Duration::from_secs(10);
/// How long a socket may refuse while another process takes over from a leader that died.
const TAKEOVER: Duration = Duration::from_secs(1);

/// Standard input, output and error of a command.
#[derive(Debug)]
pub struct Streams {
    /// Read for a source of `-`.
    pub stdin: Stdio,
    /// Gets a target of `-`, and `OK`.
    pub stdout: Stdio,
    /// Gets everything else.
    pub stderr: Stdio,
}

/// `hotswap cp`, understood.
#[derive(Debug)]
pub struct Copy {
    /// As typed.
    pub src: String,
    /// As typed.
    pub dst: String,
    /// `--skip-integrity-check`.
    pub skip_integrity_check: bool,
    /// `--skip-schema-check`.
    pub skip_schema_check: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// The caller's folder.
    pub folder: PathBuf,
    /// The server's socket.
    pub socket: PathBuf,
    /// Whether a signal may end the process.
    pub owns_process: bool,
}

impl Copy {
    /// Runs it. What the server had to say is on stderr already; an error is what went wrong on this side.
    pub fn run(self, mut streams: Streams) -> Result<ExitCode> {
        self.refuse_terminals(&streams)?;
        if self.owns_process {
            interrupt::end_on_signals();
        }
        let (mut main, stderr) = self.greet()?;
        let mut listener = Listener::start(stderr, &streams.stderr, self.quiet)?;
        main.send(&Message::Request(Request {
            src: self.endpoint(&self.src),
            dst: self.endpoint(&self.dst),
            skip_integrity_check: self.skip_integrity_check,
            skip_schema_check: self.skip_schema_check,
        }))?;
        let done = match main.receive()? {
            Some(Message::Plan(Plan::SendFile)) => self.send_file(&mut main),
            Some(Message::Plan(Plan::SendStream)) => {
                self.send_stream(&mut main, &mut streams.stdin, &mut listener)
            }
            Some(Message::Plan(Plan::ReceiveFile)) => self.receive_file(&mut main),
            Some(Message::Plan(Plan::ReceiveStream)) => {
                self.receive_stream(&mut main, &mut streams.stdout, &mut listener)
            }
            Some(Message::Done { code }) => Ok(ExitCode::from_u8(code)),
            _ => Err(lost()),
        };
        if matches!(&done, Err(error) if !matches!(error, Error::Broken(_))) {
            // The failure is ours; what the server makes of our leaving explains nothing.
            listener.abandon();
        }
        // Waiting for its last words with this connection open, we would have it wait for us.
        drop(main);
        // What the server says comes before what we make of it.
        listener.finish();
        let code = done?;
        let pulled_to_stdout = self.dst == "-";
        if code == ExitCode::Done && !self.quiet && !pulled_to_stdout {
            // Nobody there to read it is no failure.
            let _ = streams.stdout.write_all(b"OK\n");
        }
        Ok(code)
    }

    fn refuse_terminals(&self, streams: &Streams) -> Result<()> {
        if self.src == "-" && streams.stdin.is_terminal() {
            return Err(Error::Usage(
                "standard input is a terminal; pipe a database into it: cat new.sqlite3 | hotswap cp - ..."
                    .into(),
            ));
        }
        if self.dst == "-" && streams.stdout.is_terminal() {
            return Err(Error::Usage(
                "standard output is a terminal; redirect it: hotswap cp ... - > backup.sqlite3".into(),
            ));
        }
        Ok(())
    }

    fn endpoint(&self, raw: &str) -> Endpoint {
        let absolute = self.folder.join(raw);
        Endpoint {
            raw: raw.into(),
            stdio: raw == "-",
            resolved: resolve(&absolute),
            identity: std::fs::metadata(&absolute)
                .ok()
                .map(|metadata| Identity::of(&metadata)),
            absolute,
        }
    }

    fn greet(&self) -> Result<(Connection, Connection)> {
        let mut main = Connection::new(reach(&self.socket)?);
        main.set_patience(Some(GREETING))
            .context("cannot set up the socket")?;
        let hello = Message::Hello {
            protocol: PROTOCOL,
            version: crate::VERSION.into(),
        };
        // A server that turns us away does not wait for our greeting; what it says arrives all the same.
        let _ = main.send(&hello);
        let answer = main.receive().map_err(|error| self.no_greeting(&error))?;
        let (session, stderr_socket) = match answer {
            Some(Message::Welcome { protocol: PROTOCOL, session, stderr_socket, .. }) => (session, stderr_socket),
            Some(Message::Welcome { version, .. }) => {
                return Err(Error::CannotConnect(format!(
                    "this command is hotswap {}, but the running application has loaded hotswap {version}; restart the application",
                    crate::VERSION
                )))
            }
            Some(Message::Rejected { why }) => return Err(Error::CannotConnect(why)),
            _ => return Err(Error::CannotConnect(format!("what answers at {} is no hotswap server", self.socket.display()))),
        };
        let mut stderr = Connection::new(reach(&stderr_socket)?);
        stderr.send(&Message::Join { session })?;
        main.set_patience(None).context("cannot set up the socket")?;
        Ok((main, stderr))
    }

    fn no_greeting(&self, error: &Error) -> Error {
        Error::CannotConnect(format!(
            "what answers at {} does not greet as hotswap does ({error}). Restart the application, or name \
             another socket with --socket or HOTSWAP_SOCKET",
            self.socket.display()
        ))
    }

    fn send_file(&self, main: &mut Connection) -> Result<ExitCode> {
        let source = Source::open(&self.folder.join(&self.src), &self.src)?;
        let message = Message::File {
            length: source.length,
            sidecars: source.sidecars(),
        };
        main.send_with(&message, &source.descriptors())?;
        finish(main)
    }

    fn send_stream(
        &self,
        main: &mut Connection,
        stdin: &mut Stdio,
        listener: &mut Listener,
    ) -> Result<ExitCode> {
        let mut body = BodyWriter::new(main);
        match body.copy_from(stdin, |sent| listener.progress("sending", sent, 0)) {
            Ok(()) => {
                // A server that has heard enough says why on the other socket, and Done on this one.
                let _ = body.finish();
            }
            Err(Error::Broken(_)) => {}
            Err(error) => return Err(error),
        }
        finish(main)
    }

    fn receive_file(&self, main: &mut Connection) -> Result<ExitCode> {
        let mut target = Target::create(&self.folder.join(&self.dst), &self.dst)?;
        main.send_with(&Message::Target, &[target.file().as_fd()])?;
        let code = finish(main)?;
        if code == ExitCode::Done {
            target.put_in_place()?;
        }
        Ok(code)
    }

    fn receive_stream(
        &self,
        main: &mut Connection,
        stdout: &mut Stdio,
        listener: &mut Listener,
    ) -> Result<ExitCode> {
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
                Piece::Instead(Message::Done { code }) if code != 0 => return Ok(ExitCode::from_u8(code)),
                Piece::Instead(_) => return Err(lost()),
            }
        }
    }

    fn stdout_failed(&self, error: std::io::Error) -> Error {
        if error.kind() == ErrorKind::BrokenPipe && self.owns_process {
            // As any program in a pipe does: whoever closed it knows why.
            interrupt::end_quietly(128 + libc::SIGPIPE);
        }
        Error::Io {
            what: "cannot write to standard output".into(),
            source: error,
        }
    }
}

/// Waits for the last word.
fn finish(main: &mut Connection) -> Result<ExitCode> {
    match main.receive() {
        Ok(Some(Message::Done { code })) => Ok(ExitCode::from_u8(code)),
        _ => Err(lost()),
    }
}

fn lost() -> Error {
    Error::Broken(
        "the server went away before it confirmed; the database is whole, and either the old or the new one. \
         See the application's log, then copy again"
            .into(),
    )
}

fn reach(socket: &Path) -> Result<UnixStream> {
    let give_up = Instant::now() + TAKEOVER;
    loop {
        match connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => return Err(unreachable(socket, &error)),
        }
    }
}

fn unreachable(socket: &Path, error: &std::io::Error) -> Error {
    let path = socket.display();
    Error::CannotConnect(match error.kind() {
        ErrorKind::NotFound => format!(
            "socket not found at {path}\nIs the application running, with hotswap in its Gemfile? \
             Run the command in the application's folder, or name the socket with --socket or HOTSWAP_SOCKET"
        ),
        ErrorKind::ConnectionRefused => {
            format!("nobody listens at {path}: the application that made this socket is gone. Start it, and copy again")
        }
        ErrorKind::PermissionDenied => {
            format!("not allowed to use {path}: run the command as the user that runs the application")
        }
        _ => format!("cannot connect to {path}: {error}"),
    })
}
