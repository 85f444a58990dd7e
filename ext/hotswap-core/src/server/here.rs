//! A session with a client in this very process, over socket pairs instead of a socket.

use std::os::unix::net::UnixStream;
use std::sync::mpsc::{channel, Receiver};
use std::time::Duration;

use super::config::Config;
use super::session;
use crate::error::{Context, Result};
use crate::protocol::{Connection, Message};
use crate::sys::fork::{self, CloseInChild};

/// How long the last lines of a worker whose command has ended may take to this process.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The client's ends of a session in its own process.
pub struct Here {
    /// Request, bodies, exit status.
    pub main: Connection,
    /// Status lines and errors.
    pub stderr: Connection,
    /// The session in progress.
    pub session: Session,
}

/// A session in this process. Its worker ends when the client's connections do.
pub struct Session(Receiver<()>);

impl Here {
    /// Starts a worker as a leader would. If `silent`, the worker's lines do not go into this process's log.
    pub fn start(mut config: Config, silent: bool) -> Result<Self> {
        // Ctrl-C and Ctrl-Z in a console are for the client. It ends its worker, and waits until it has ended.
        config.worker.own_group = true;
        let pair = || {
            let (ours, theirs) = UnixStream::pair()?;
            let private = CloseInChild::keep(&theirs);
            Ok::<_, std::io::Error>((Connection::new(ours), theirs, private))
        };
        let pairs = fork::without_fork(|| Ok::<_, std::io::Error>((pair()?, pair()?)));
        let ((main, their_main, one), (stderr, their_stderr, other)) =
            pairs.context("cannot make a socket pair")?;
        let (end, ended) = channel();
        let mut end = Some(end);
        let hear = move |message: &Message| match message {
            Message::Done { .. } => drop(end.take()),
            event @ Message::Event(_) => session::log(event),
            _ if silent => {}
            line => session::log(line),
        };
        std::thread::Builder::new()
            .name("hotswap-session".into())
            .spawn(move || {
                crate::sys::thread::leave_signals_to_others();
                session::run(their_main, their_stderr, [one, other], &config, hear);
            })
            .context("cannot start a thread for the session")?;
        Ok(Self {
            main,
            stderr,
            session: Session(ended),
        })
    }
}

impl Session {
    /// Waits until the log has the worker's last line. A program may end right after its command.
    pub fn finish(self) {
        // The thread sends nothing: it drops the sender, which is the error here.
        let _ = self.0.recv_timeout(LAST_LINES);
    }
}
