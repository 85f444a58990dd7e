//! What only the database itself tells. One thread looks, because a disk may not answer.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::fence::Fence;
use crate::sidecar::sidecars;
use crate::sys::thread::leave_signals_to_others;
use crate::worker::fleet::pull_lock::glance;
use crate::worker::sqlite::header::DatabaseHeader;

/// How long a look into a database may take. A push may wait for it.
const PATIENCE: Duration = Duration::from_millis(100);

/// How many threads may be stuck. Until one of them goes on, the worker looks into no more databases.
const STUCK: usize = 3;

/// What only the database itself tells.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub journal_mode: Option<String>,
    pub schema_version: Option<String>,
    pub user_version: Option<i64>,
}

/// Looks into one database after the other.
#[derive(Debug, Default)]
pub(super) struct Observer {
    thread: Option<Thread>,
    stuck: Vec<JoinHandle<()>>,
}

/// A thread that answers until it is asked no more.
#[derive(Debug)]
struct Thread {
    ask: Sender<PathBuf>,
    hear: Receiver<Facts>,
    handle: JoinHandle<()>,
}

impl Observer {
    /// Looks into the database at `path` with the locks of a pull. Knows nothing if a worker wants the members to close,
    /// or if the disk does not answer.
    pub(super) fn look_into(&mut self, path: &Path, fence: Option<&Fence>) -> Facts {
        let mut look = || self.ask(path);
        match fence {
            // No process has joined, and a worker that begins now is far from its swap.
            None => look(),
            Some(fence) => glance(fence, look).flatten(),
        }
        .unwrap_or_default()
    }

    fn ask(&mut self, path: &Path) -> Option<Facts> {
        self.stuck.retain(|thread| !thread.is_finished());
        if self.stuck.len() >= STUCK {
            return None;
        }
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => Thread::start().ok()?,
        };
        thread.ask.send(path.to_owned()).ok()?;
        match thread.hear.recv_timeout(PATIENCE) {
            Ok(facts) => {
                self.thread = Some(thread);
                Some(facts)
            }
            Err(_) => {
                self.stuck.push(thread.handle);
                None
            }
        }
    }
}

impl Thread {
    fn start() -> std::io::Result<Self> {
        let (ask, asked) = channel::<PathBuf>();
        let (tell, hear) = channel();
        let answer = move || {
            leave_signals_to_others();
            for path in asked {
                // The receiver is gone if this took too long.
                let _ = tell.send(facts(&path));
            }
        };
        let handle = std::thread::Builder::new().name("glance".into()).spawn(answer)?;
        Ok(Self { ask, hear, handle })
    }
}

fn facts(path: &Path) -> Facts {
    // Read and closed before SQLite opens the file: closing it later would drop SQLite's locks.
    let Some(header) = header(path) else {
        return Facts::default();
    };
    let facts = Facts {
        journal_mode: Some(if header.wal { "wal" } else { "rollback" }.into()),
        ..Facts::default()
    };
    let Some(connection) = open(path, header.wal) else {
        return facts;
    };
    let newest = "SELECT max(version) FROM schema_migrations";
    Facts {
        schema_version: connection.query_row(newest, [], |row| row.get(0)).ok().flatten(),
        user_version: connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .ok(),
        ..facts
    }
}

fn header(path: &Path) -> Option<DatabaseHeader> {
    let mut head = [0; 100];
    File::open(path).ok()?.read_exact_at(&mut head, 0).ok()?;
    DatabaseHeader::judge_head(&head, "").ok()
}

/// Opens the database so that it leaves no files behind. In WAL mode without a WAL, all of the content is in the main
/// file. `None` if the processes that had the database open have died: the next one that opens it recovers the WAL.
fn open(path: &Path, wal: bool) -> Option<Connection> {
    let mut beside = sidecars(path).map(|file| file.exists());
    let has_log = beside.next() == Some(true);
    let has_index = beside.next() == Some(true);
    if wal && has_log && !has_index {
        return None;
    }
    let escaped = path
        .to_str()?
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let immutable = if wal && !has_log { "?immutable=1" } else { "" };
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{escaped}{immutable}"), flags).ok()?;
    connection.busy_timeout(Duration::ZERO).ok()?;
    Some(connection)
}
