//! Ends the work on a file when the client that asked for it has gone, or when it takes too long.
//!
//! A hostile file can make one step of SQLite's virtual machine as long as it likes, and SQLite calls its progress
//! handler only between two steps. So a separate thread watches. It interrupts the statement; if SQLite does not
//! react, it ends the process. The live database is untouched in either case.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::client::Client;
use crate::error::{BadFile, Context, Error, Gone, Result};
use crate::leftovers;
use crate::sys::exit::exit_now;

/// The time limit for the work on one connection. Checking a gigabyte takes 3 s warm and 21 s from a cold disk.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// How long SQLite may take to react to an interrupt.
const HEARING: Duration = Duration::from_secs(5);
/// How often the thread checks.
const GLANCE: Duration = Duration::from_millis(50);

/// Watches one connection. The watch ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Deadline {
    _alive: Sender<()>,
    ended: Arc<OnceLock<End>>,
}

/// Why the work had to end.
#[derive(Clone, Copy, Debug)]
enum End {
    ClientLeft,
    TookTooLong,
}

impl End {
    fn error(self) -> Error {
        match self {
            End::ClientLeft => Gone::Client.into(),
            End::TookTooLong => BadFile::TooMuchTime {
                minutes: PATIENCE.as_secs() / 60,
            }
            .into(),
        }
    }
}

impl Deadline {
    /// Watches what `connection` does for `client`. If the process has to end, the `staged` file is removed first.
    pub(super) fn watch(connection: &Connection, client: &Client, staged: Option<&Path>) -> Result<Self> {
        Self::watch_for(PATIENCE, connection, client, staged)
    }

    fn watch_for(
        patience: Duration,
        connection: &Connection,
        client: &Client,
        staged: Option<&Path>,
    ) -> Result<Self> {
        let (alive, dropped) = channel::<()>();
        let ended = Arc::new(OnceLock::new());
        let thread = Watching {
            wanted: client.presence(),
            last_words: client.last_words()?,
            staged: staged.map(Path::to_owned),
            late: Instant::now() + patience,
            ended: ended.clone(),
        };
        let interrupt = connection.get_interrupt_handle();
        std::thread::Builder::new()
            .name("deadline".into())
            .spawn(move || {
                let mut interrupted: Option<Instant> = None;
                while dropped.recv_timeout(GLANCE) == Err(RecvTimeoutError::Timeout) {
                    let Some(end) = thread.end() else { continue };
                    interrupt.interrupt();
                    if interrupted.get_or_insert_with(Instant::now).elapsed() > HEARING {
                        thread.end_the_process(end)
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { _alive: alive, ended })
    }

    /// Replaces `error` by the reason if this watch has ended the work.
    pub(super) fn explain(&self, error: Error) -> Error {
        self.ended.get().map_or(error, |end| end.error())
    }
}

/// The state of the thread.
struct Watching<Wanted, Say> {
    wanted: Wanted,
    last_words: Say,
    staged: Option<PathBuf>,
    late: Instant,
    ended: Arc<OnceLock<End>>,
}

impl<Wanted: Fn() -> bool, Say: FnOnce(Error)> Watching<Wanted, Say> {
    /// Returns why the work has to end, if it has to.
    fn end(&self) -> Option<End> {
        if let Some(end) = self.ended.get() {
            return Some(*end);
        }
        let end = if !(self.wanted)() {
            End::ClientLeft
        } else if Instant::now() >= self.late {
            End::TookTooLong
        } else {
            return None;
        };
        Some(*self.ended.get_or_init(|| end))
    }

    fn end_the_process(self, end: End) -> ! {
        self.staged
            .as_deref()
            .into_iter()
            .for_each(leftovers::remove_staged);
        (self.last_words)(end.error());
        exit_now(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::protocol::{Connection as Wire, Message};
    use crate::testing::ignored_test;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;
    use std::os::unix::net::{UnixListener, UnixStream};

    const SOON: Duration = Duration::from_millis(100);
    /// Runs for ever, in many steps.
    const STEPS: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

    fn ask(connection: &Connection, sql: &str) -> Result<()> {
        connection.query_row(sql, [], |_| Ok(())).context("cannot ask")
    }

    #[test]
    fn work_that_goes_on_for_ever_ends_when_its_time_is_over() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let (client, _there) = Client::of_a_test();
        let connection = Connection::open_in_memory().unwrap();
        let deadline = Deadline::watch_for(SOON, &connection, &client, None).unwrap();
        let error = deadline.explain(ask(&connection, STEPS).unwrap_err());
        assert_eq!(error.exit_code(), ExitCode::Refused, "{error}");
        // The next statement has no time left either.
        assert!(ask(&connection, STEPS).is_err());
    }

    #[test]
    fn work_ends_when_its_client_leaves_and_other_errors_stay_what_they_are() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let (client, there) = Client::of_a_test();
        let connection = Connection::open_in_memory().unwrap();
        let deadline = Deadline::watch(&connection, &client, None).unwrap();
        let error = deadline.explain(ask(&connection, "SELECT nothing").unwrap_err());
        assert!(error.is_of_a_call(), "{error}");
        drop(there);
        let error = deadline.explain(ask(&connection, STEPS).unwrap_err());
        assert!(error.is_gone(), "{error}");
    }

    /// One step compares 2 MB two million times.
    #[test]
    #[ignore = "it ends its process: the next test runs it in another one"]
    fn one_step_for_ever() {
        let folder = PathBuf::from(std::env::var_os("FOLDER").expect("run by another test"));
        if !adopt_the_systems_sqlite() {
            return;
        }
        let connect = || Wire::new(UnixStream::connect(folder.join("socket")).unwrap());
        let client = Client::new(connect(), connect(), connect()).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        let staged = folder.join("staged");
        let _deadline = Deadline::watch_for(SOON, &connection, &client, Some(&staged)).unwrap();
        let step = "SELECT instr(zeroblob(4000000), CAST(zeroblob(2000000) || x'01' AS BLOB))";
        let _ = ask(&connection, step);
        unreachable!("it came to an end");
    }

    #[test]
    fn a_step_that_goes_on_for_ever_ends_with_the_process_which_says_why() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let staged = folder.path().join("staged");
        std::fs::write(&staged, "half").unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let mut stepping = ignored_test(module_path!(), "one_step_for_ever")
            .env("FOLDER", folder.path())
            .spawn()
            .unwrap();
        let [main, stderr, log] = [(); 3].map(|()| Wire::new(listener.accept().unwrap().0));
        assert_eq!(
            main.receive().unwrap(),
            Some(Message::Done {
                code: 3,
                figures: None
            })
        );
        let why = End::TookTooLong.error().to_string();
        assert_eq!(stderr.receive().unwrap(), Some(Message::Error(why.clone())));
        assert!(matches!(log.receive().unwrap(), Some(Message::Log(line)) if line.text.contains(&why)));
        assert_eq!(stepping.wait().unwrap().code(), Some(1));
        assert!(!staged.exists());
    }
}
