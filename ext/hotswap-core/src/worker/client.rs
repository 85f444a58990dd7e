//! The client, as the worker sees it: its two connections, and the application's log.

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::account::Account;
use super::progress::Progress;
use super::summary::Spoken;
use crate::error::{Context, Error, Failed, Gone, Protocol, Result};
use crate::exit_code::ExitCode;
use crate::holders;
use crate::protocol::{Connection, Figures, Message, Narration, Plan, Query, Request};
use crate::record::{self, Entry};
use crate::status::CommandStatus;
use crate::sys::poll::hung_up;
use crate::sys::poll::takes_more;
use crate::sys::processor::Processor;
use crate::sys::socket::peer;
use crate::visible;

/// How long a client may be silent in the middle of a transfer, unless the timeout of its command is longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How much of a failure goes into the log, in characters.
const LOGGED: usize = 500;

/// How much longer than the probe itself the answer of the application may take.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a client that does not read can delay the end of a worker that is in the way.
const HASTE: Duration = Duration::from_millis(50);

/// The user who reads the client's standard error, over the second connection.
#[derive(Debug)]
pub(super) struct User {
    stderr: Option<Connection>,
    published: Progress,
    pace: Mutex<Pace>,
}

/// When the user was last told about the progress of a thread, and whether the thread gets a processor.
#[derive(Debug)]
struct Pace {
    told: Instant,
    processor: Processor,
}

impl User {
    /// A user who reads `stderr`.
    fn new(stderr: Option<Connection>, published: Progress) -> Self {
        Self {
            stderr,
            published,
            pace: Mutex::new(Pace {
                told: Instant::now(),
                processor: Processor::of_this_thread(),
            }),
        }
    }

    /// The same user, for another thread that reports its own progress.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(
            self.stderr.as_ref().map(Connection::try_clone).transpose()?,
            self.published.clone(),
        ))
    }

    /// Reports the progress of the calling thread, at most ten times a second, and whether the thread waits for a
    /// processor. Returns whether it waits.
    pub(super) fn progress(&self, stage: &str, done: u64, total: u64) -> bool {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.told.elapsed() < Duration::from_millis(100) {
            return false;
        }
        pace.told = Instant::now();
        self.published.report(stage, done, total);
        if !self.listens() {
            return false;
        }
        let waits = pace.processor.is_awaited();
        let stage = match waits {
            true => format!("{stage}, waiting for a processor"),
            false => stage.into(),
        };
        self.tell(&Message::Progress { stage, done, total });
        waits
    }

    /// Whether the client reads what it is told. A client that was stopped must not hold up the work.
    fn listens(&self) -> bool {
        self.stderr
            .as_ref()
            .is_some_and(|stderr| takes_more(stderr.stream().as_raw_fd()))
    }

    /// Prints a line.
    pub(super) fn status(&self, text: impl Display) {
        self.tell(&Message::Status(text.to_string()));
    }

    /// Ignores errors. The main connection notices where it matters that the client has gone.
    fn tell(&self, message: &Message) {
        if let Some(stderr) = &self.stderr {
            let _ = stderr.send(message);
        }
    }
}

/// The application's log. The leader writes it.
#[derive(Debug)]
pub(super) struct Log(Connection);

impl Log {
    /// Adds a line.
    pub(super) fn write(&self, level: &str, text: impl Display) {
        // Without a leader the line is lost. The swap goes on all the same.
        let _ = self.0.send(&Message::Log(Narration {
            level: level.into(),
            text: visible::line(text.to_string()),
        }));
    }
}

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A copy.
    Request(Box<Request>),
    /// The answer to a question.
    Query(Query),
}

/// The client of one command, with everything the worker tells it or logs about it.
#[derive(Debug)]
pub(super) struct Client {
    /// The main connection: request, bodies, exit status.
    pub main: Connection,
    /// Reads what the command prints.
    pub user: User,
    /// The application's log.
    pub log: Log,
    /// What the record will say about the command.
    pub account: Account,
    /// What a command has found out that fails all the same.
    found: Mutex<Option<Figures>>,
    /// The client process: "uid 1000 in process 4711 (ruby bin/hotswap cp ...)".
    who: String,
    /// Whether the command goes on when the client has gone.
    unattended: AtomicBool,
    began: Instant,
}

/// The error of a command whose client sent something unexpected. It either gave a reason of its own, or it has
/// gone.
pub(super) fn gave_up(instead: Option<Message>) -> Error {
    match instead {
        Some(Message::Error(why)) => Protocol::GaveUp { why }.into(),
        Some(_) => Protocol::Unexpected { from: "the client" }.into(),
        None => Gone::Client.into(),
    }
}

/// Describes the client process, as the kernel identifies it.
fn who(client: &Connection) -> String {
    match peer(client) {
        // The kernel reports 0 for a process in another container.
        Some(peer) if peer.pid == 0 => format!("uid {} in another container", peer.uid),
        Some(peer) => format!("uid {} in {}", peer.uid, holders::name(peer.pid as u32)),
        None => "a client that the kernel does not name".into(),
    }
}

fn one_line(text: &str) -> String {
    let line = text.lines().collect::<Vec<_>>().join(" | ");
    match line.char_indices().nth(LOGGED) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl Client {
    /// Takes over a client from the leader.
    pub(super) fn new(main: Connection, stderr: Connection, leader: Connection) -> Result<Self> {
        for connection in [&main, &stderr] {
            connection
                .set_patience(Some(PATIENCE))
                .context("cannot set up the client's socket")?;
        }
        Ok(Self {
            who: who(&main),
            main,
            user: User::new(Some(stderr), Progress::default()),
            log: Log(leader),
            account: Account::default(),
            found: Mutex::default(),
            unattended: AtomicBool::default(),
            began: Instant::now(),
        })
    }

    /// A client for tests. It is there for as long as the other half of the returned pair.
    #[cfg(test)]
    pub(super) fn of_a_test() -> (Self, [std::os::unix::net::UnixStream; 3]) {
        let pairs = [(); 3].map(|()| std::os::unix::net::UnixStream::pair().unwrap());
        let [(main, there), (stderr, reads), (leader, logs)] = pairs;
        let [main, stderr, leader] = [main, stderr, leader].map(Connection::new);
        (Self::new(main, stderr, leader).unwrap(), [there, reads, logs])
    }

    /// Whether the kernel says that the client is root.
    pub(super) fn is_root(&self) -> bool {
        peer(&self.main).is_some_and(|peer| peer.uid == 0)
    }

    /// Reads what the user typed.
    pub(super) fn asks(&self) -> Result<Asked> {
        match self.main.receive()? {
            Some(Message::Request(request)) => Ok(Asked::Request(request)),
            Some(Message::Query(query)) => Ok(Asked::Query(*query)),
            _ => Err(Protocol::Unexpected { from: "the client" }.into()),
        }
    }

    /// Whether the client is the process with this pid.
    pub(super) fn is(&self, pid: u32) -> bool {
        peer(&self.main).is_some_and(|peer| peer.pid as u32 == pid)
    }

    /// Tells a client that can do the work itself to do so. It then leaves.
    pub(super) fn decline(&self) -> Result<()> {
        self.main.send(&Message::Declined)
    }

    /// Raises the patience to the timeout of the command, if that is longer. A client whose pipe is idle delays no
    /// request.
    pub(super) fn be_patient(&self, timeout: Duration) -> Result<()> {
        let patience = self.main.set_patience(Some(PATIENCE.max(timeout)));
        patience.context("cannot set up the client's socket")
    }

    /// Tells the client what to do next.
    pub(super) fn ask(&self, plan: Plan) -> Result<()> {
        self.main.send(&Message::Plan(plan))
    }

    /// Asks the application whether it works with the new content of `database`. Returns why not.
    pub(super) fn ask_application(
        &self,
        database: &Path,
        timeout: Duration,
    ) -> std::result::Result<(), String> {
        let question = Message::Probe {
            database: database.to_owned(),
            timeout_ms: timeout.as_millis() as u64,
        };
        let leader = &self.log.0;
        let usual = leader.patience();
        // A process that was stopped answers nothing at all.
        let answer = leader
            .set_patience(Some(timeout + ANSWER))
            .context("cannot set up the leader's socket")
            .and_then(|()| leader.send(&question))
            .and_then(|()| leader.receive());
        // If this fails, the leader has gone, and with it the log.
        let _ = leader.set_patience(usual);
        match answer {
            Ok(Some(Message::Probed(None))) => Ok(()),
            Ok(Some(Message::Probed(Some(why)))) => Err(why),
            Err(Error::Failed(Failed::Protocol(Protocol::Silent))) => {
                Err("the process that serves hotswap did not answer".into())
            }
            _ => Err("the process that serves hotswap has ended".into()),
        }
    }

    /// Tells the client that the new database is in place, and that the application is asked whether it works. From now
    /// on, the command goes on even if the client has gone: a user whose connection breaks off relies on the rollback.
    pub(super) fn probing(&self) {
        self.unattended.store(true, Ordering::Relaxed);
        // A client that has gone does not need to know.
        let _ = self.main.send(&Message::Probing);
    }

    /// Prints a line for the user.
    pub(super) fn status(&self, text: impl Display) {
        self.user.status(text);
    }

    /// Tells the client that the new database is in place but not yet durable. The client knows the outcome even if
    /// this worker dies.
    pub(super) fn committed(&self) {
        // A client that has gone does not need to know.
        let _ = self.main.send(&Message::Committed);
    }

    /// Reports the progress of the calling thread.
    pub(super) fn progress(&self, stage: &str, done: u64, total: u64) {
        self.user.progress(stage, done, total);
    }

    /// Keeps what the client is told although the command fails.
    pub(super) fn found(&self, figures: Figures) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
    }

    /// Adds a line to the application's log.
    pub(super) fn log(&self, level: &str, text: impl Display) {
        self.log.write(level, text);
    }

    /// Adds a line at the usual level.
    pub(super) fn info(&self, text: impl Display) {
        self.log.write("info", text);
    }

    /// Fails if the client has gone, because nothing waits for the result any more.
    pub(super) fn check_presence(&self) -> Result<()> {
        if self.main.peer_is_gone() && !self.unattended.load(Ordering::Relaxed) {
            return Err(Gone::Client.into());
        }
        Ok(())
    }

    /// The client's main connection, its second one while that is open, and the leader's.
    pub(super) fn connections(&self) -> (&Connection, Option<&Connection>, &Connection) {
        (&self.main, self.user.stderr.as_ref(), &self.log.0)
    }

    /// Returns a function that tells another thread whether the client is there. It may be called for as long as
    /// this thread keeps its connection.
    pub(super) fn presence(&self) -> impl Fn() -> bool + Send + 'static {
        let client = self.main.as_fd().as_raw_fd();
        let unattended = self.unattended.load(Ordering::Relaxed);
        move || unattended || !hung_up(client)
    }

    /// Returns a function for another thread that has to end the process in place of this one. It reports the error
    /// as the outcome of the command.
    pub(super) fn last_words(&self) -> Result<impl FnOnce(Error) + Send + 'static> {
        let mut second = self.try_clone().context("cannot set up the client's socket")?;
        Ok(move |error| {
            let outcome = Err(error);
            let connections = [
                Some(&second.main),
                second.user.stderr.as_ref(),
                Some(&second.log.0),
            ];
            for connection in connections.into_iter().flatten() {
                // If the bound cannot be set, the peer has gone.
                let _ = connection.set_patience(Some(HASTE));
            }
            second.log_failure(&outcome);
            second.record(&outcome, HASTE);
            second.finish(&outcome);
        })
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            main: self.main.try_clone()?,
            user: self.user.try_clone()?,
            log: Log(self.log.0.try_clone()?),
            account: self.account.clone(),
            found: Mutex::default(),
            who: self.who.clone(),
            unattended: AtomicBool::new(self.unattended.load(Ordering::Relaxed)),
            began: self.began,
        })
    }

    /// Logs a failure. It takes one line, however long the difference of two schemas is.
    pub(super) fn log_failure(&self, outcome: &Result<Figures>) {
        if let Err(error) = outcome {
            let (why, end) = (one_line(&error.in_a_log()), self.end());
            match error {
                Error::Failed(Failed::Gone(Gone::Declined)) => self.info(format_args!("{why} ({end})")),
                _ => self.log("error", format_args!("command failed: {why} ({end})")),
            }
        }
    }

    /// Begins the account of a command on the database at `path`, and publishes that it runs.
    pub(super) fn begin_account(&self, path: &Path, entry: Entry) {
        let entry = Entry {
            who: Some(self.who.clone()),
            ..entry
        };
        let running = CommandStatus {
            command: entry.command.clone(),
            phase: "preparing".into(),
            began: Some(record::now()),
            who: entry.who.clone(),
            from: entry.from.clone(),
            label: entry.label.clone(),
            ..CommandStatus::default()
        };
        self.user.published.begin(path, running);
        self.account.begin(path, entry);
    }

    /// Publishes that the next phase of the command has begun.
    pub(super) fn phase(&self, phase: &str) {
        self.user.published.phase(phase);
    }

    /// Adds what the command did to the record. A slow disk delays the end of the command by at most `bound`.
    pub(super) fn record(&self, outcome: &Result<Figures>, bound: Duration) {
        if matches!(outcome, Err(Error::Failed(Failed::Gone(Gone::Declined)))) {
            return;
        }
        let Some((database, entry)) = self.account.close(outcome, self.began.elapsed()) else {
            return;
        };
        let entry = Entry {
            time: record::now(),
            ..entry
        };
        // Without a leader no program wants to know.
        let _ = self
            .log
            .0
            .send(&Message::Event(serde_json::to_value(&entry).unwrap_or_default()));
        // A failed push of a first database must leave nothing behind.
        if outcome.is_err() && matches!(database.try_exists(), Ok(false)) {
            return;
        }
        // A user who may pull need not be one who may write to the folder.
        let level = match entry.command.as_deref() {
            Some("pull") => "debug",
            _ => "warn",
        };
        if let Err(error) = record::append(&database, entry, bound) {
            self.log(level, error);
        }
    }

    /// How long the command took, and which client asked for it. The last line about the command in the log ends
    /// with this.
    pub(super) fn end(&self) -> String {
        format!("{} in all, by {}", Spoken(self.began.elapsed()), self.who)
    }

    /// Ends the session: sends the reason of a failure, then the exit status. The leader gets the exit status too:
    /// if it does not, the worker was killed.
    pub(super) fn finish(&mut self, outcome: &Result<Figures>) {
        let code = match outcome {
            Ok(_) => ExitCode::Done,
            Err(
                error @ (Error::Failed(Failed::OutputClosed) | Error::Failed(Failed::Gone(Gone::Declined))),
            ) => error.exit_code(),
            // A client that has gone, or was interrupted, knows the reason.
            Err(error) if error.is_of_the_peer() && self.main.peer_is_gone() => error.exit_code(),
            Err(error) => {
                self.user.tell(&Message::Error(error.to_string()));
                error.exit_code()
            }
        };
        // Closing it tells the client that no more output follows.
        if let Some(stderr) = self.user.stderr.take() {
            stderr.close();
        }
        // A client that has gone does not need the answer.
        let done = Message::Done {
            code: code as u8,
            figures: match outcome {
                Ok(figures) => Some(figures.clone()),
                Err(_) => self.found.lock().unwrap_or_else(PoisonError::into_inner).take(),
            },
        };
        let _ = self.main.send(&done);
        let _ = self.log.0.send(&done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_stopped_client_delays_no_progress() {
        let (client, [_main, _reads, _log]) = Client::of_a_test();
        let stderr = client.user.stderr.as_ref().unwrap().stream();
        stderr.set_nonblocking(true).unwrap();
        // The client is stopped: its socket fills up.
        while (&*stderr).write(&[0; 4096]).is_ok() {}
        stderr.set_nonblocking(false).unwrap();
        std::thread::sleep(Duration::from_millis(110));
        let began = Instant::now();
        client.progress("checking", 1, 2);
        assert!(began.elapsed() < PATIENCE / 2, "it waited for the client to read");
    }
}
