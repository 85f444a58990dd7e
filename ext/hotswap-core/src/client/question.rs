//! The client's side of a question: `hotswap status` and `hotswap log`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::abort::{Abort, Watch};
use super::connect::{self, Way, PAUSE, SUCCESSION};
use super::outcome::Outcome;
use super::signals;
use super::status::Listener;
use super::stdio::{Stdio, Streams};
use crate::error::{Error, Gone, Result};
use crate::protocol::{BodyReader, Connection, Message, Piece, Query};
use crate::server::{Config, Session};

/// How often the client asks again, if it watches.
const INTERVAL: Duration = Duration::from_secs(1);

/// A question, and the way to a worker that answers it.
#[derive(Debug)]
pub struct Question {
    /// The question.
    pub query: Query,
    /// Whether to ask again every second, until the user ends the command.
    pub watch: bool,
    /// The server's socket.
    pub socket: PathBuf,
    /// How this process starts the worker itself, if no process listens at the socket.
    pub here: Option<Config>,
    /// Whether a signal may end the process.
    pub owns_process: bool,
    /// Ends the command from outside.
    pub abort: Arc<Abort>,
}

/// A worker that answers.
struct Conversation {
    main: Connection,
    watch: Watch,
    listener: Listener,
    session: Option<Session>,
}

impl Question {
    /// Asks, and hands every answer to `print`. A failure of the worker is already on stderr.
    pub fn ask(
        self,
        streams: &mut Streams,
        mut print: impl FnMut(&[u8], &mut Stdio) -> Result<()>,
    ) -> Result<Outcome> {
        if self.owns_process {
            signals::end_on_signals();
        }
        let (mut conversation, mut answer) = self.begin(&streams.stderr)?;
        let outcome = loop {
            match answer {
                Ok(bytes) => print(&bytes, &mut streams.stdout)?,
                Err(code) => break Outcome::from(code),
            }
            if !self.watch || !self.wait() {
                break Outcome::from(crate::ExitCode::Done);
            }
            answer = match conversation.ask(&self.query) {
                // The server restarts.
                Err(error) if error.is_gone() && !self.abort.asked() => {
                    conversation.end();
                    let (next, answer) = self.begin(&streams.stderr)?;
                    conversation = next;
                    answer
                }
                answered => answered?,
            };
        };
        Ok(Outcome {
            why: conversation.end(),
            ..outcome
        })
    }

    /// The worker, and its first answer. Until then the server has done nothing, so the client may ask the next one.
    fn begin(&self, stderr: &Stdio) -> Result<(Conversation, std::result::Result<Vec<u8>, u8>)> {
        let way = Way {
            socket: &self.socket,
            here: self.here.as_ref(),
            silent: true,
        };
        let give_up = Instant::now() + SUCCESSION;
        loop {
            let (main, their_stderr, session) = connect::begin(&way, &self.abort)?;
            let watch = connect::watch(&self.abort, &main, std::net::Shutdown::Both)?;
            let mut conversation = Conversation {
                main,
                watch,
                listener: Listener::start(their_stderr, stderr, false, None)?,
                session,
            };
            match conversation.ask(&self.query) {
                Err(error) if error.is_gone() && !self.abort.asked() && Instant::now() < give_up => {
                    conversation.end();
                    std::thread::sleep(PAUSE);
                }
                answered => return answered.map(|answer| (conversation, answer)),
            }
        }
    }

    /// Waits until it is time for the next question. Returns whether it is.
    fn wait(&self) -> bool {
        let until = Instant::now() + INTERVAL;
        while Instant::now() < until && !self.abort.asked() {
            std::thread::sleep(PAUSE);
        }
        !self.abort.asked()
    }
}

impl Conversation {
    /// The answer, or the exit status of a worker that has none.
    fn ask(&mut self, query: &Query) -> Result<std::result::Result<Vec<u8>, u8>> {
        self.main.send(&Message::Query(Box::new(query.clone())))?;
        let mut body = BodyReader::new(&self.main);
        let mut answer = Vec::new();
        loop {
            match body.receive()? {
                Piece::Chunk(chunk) => answer.extend_from_slice(chunk),
                Piece::End => return Ok(Ok(answer)),
                Piece::Instead(Message::Done { code, .. }) if code != 0 => return Ok(Err(code)),
                Piece::Instead(_) => return Err(Error::from(Gone::Worker)),
            }
        }
    }

    /// Leaves. Returns the worker's error, if it sent one.
    fn end(self) -> Option<String> {
        let Self {
            main,
            watch,
            mut listener,
            session,
        } = self;
        // The worker waits until the last descriptor of this connection is closed.
        drop((main, watch));
        let why = listener.finish();
        session.into_iter().for_each(Session::finish);
        why
    }
}
