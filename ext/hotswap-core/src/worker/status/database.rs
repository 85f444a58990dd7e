//! The state of one database.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::role::role;
use crate::fence::{Fence, Lock, Phase};
use crate::holders::Surveyed;
use crate::previous;
use crate::record::{self, Entry, Event};
use crate::settings::Database;
use crate::sidecar::sidecars;
use crate::status::{CommandStatus, DatabaseStatus, Holds, ProcessStatus, VersionStatus};
use crate::sys::processes::{command, shown};
use crate::sys::thread::leave_signals_to_others;
use crate::visible::Shown;
use crate::worker::fleet::participants::members;
use crate::worker::fleet::pull_lock::glance;
use crate::worker::progress::Published;
use crate::worker::sqlite::header::DatabaseHeader;

/// How long a look into the database may take. A push may wait for it.
const GLANCE: Duration = Duration::from_millis(100);

/// The state of the database at `path` (resolved). `open` are the processes that have it open.
pub(super) fn status(
    database: &Database,
    path: &Path,
    open: &[u32],
    published: &[(u32, Published)],
) -> DatabaseStatus {
    let fence = Fence::existing(path).ok().flatten();
    let length = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.len());
    let bytes = length(path);
    let facts = bytes.map(|_| look_into(path, fence.as_ref())).unwrap_or_default();
    let entries = record::entries(path).unwrap_or_default();
    let is_swap = |event: Event| matches!(event, Event::Push | Event::Rollback);
    DatabaseStatus {
        database: database.label.clone(),
        name: database.name.clone(),
        pattern: database.pattern.clone(),
        path: path.shown(),
        exists: bytes.is_some(),
        objection: database.objection.clone(),
        bytes,
        wal_bytes: sidecars(path).next().and_then(|log| length(&log)),
        journal_mode: facts.journal_mode,
        schema_version: facts.schema_version,
        user_version: facts.user_version,
        processes: processes(fence.as_ref(), open),
        // The kernel reports 0 for a process in another container.
        elsewhere: fence
            .as_ref()
            .is_some_and(|fence| fence.holder(Lock::Fence).is_some_and(|pid| pid <= 0)),
        commands: commands(path, fence.as_ref(), published),
        previous: versions(path, &entries),
        last_push: entries.into_iter().rev().find(|entry| is_swap(entry.event)),
    }
}

/// What the workers of the survey publish.
pub(super) fn published(survey: &[Surveyed]) -> Vec<(u32, Published)> {
    let of = |one: &Surveyed| {
        let content = one.published.iter();
        let parsed = content.filter_map(|content| serde_json::from_slice(content).ok());
        parsed.map(|published| (one.pid, published)).collect::<Vec<_>>()
    };
    survey.iter().flat_map(of).collect()
}

/// The processes that hold a lock on `fence`, or have the file `open`.
pub(crate) fn processes(fence: Option<&Fence>, open: &[u32]) -> Vec<ProcessStatus> {
    let mut held: BTreeMap<u32, Vec<Holds>> = BTreeMap::new();
    let mut add = |pid: u32, what| held.entry(pid).or_default().push(what);
    if let Some(fence) = fence {
        members(fence)
            .into_iter()
            .for_each(|pid| add(pid, Holds::Membership));
        let at = |lock| fence.holder(lock).filter(|pid| *pid > 0).map(|pid| pid as u32);
        at(Lock::Operation)
            .into_iter()
            .for_each(|pid| add(pid, Holds::Operation));
        at(Lock::Objection)
            .into_iter()
            .for_each(|pid| add(pid, Holds::Objection));
    }
    open.iter().for_each(|pid| add(*pid, Holds::File));
    held.remove(&0);
    held.remove(&std::process::id());
    let process = |(pid, holds)| {
        let command = command(pid);
        ProcessStatus {
            pid,
            role: role(&command),
            command: shown(&command),
            holds,
        }
    };
    held.into_iter().map(process).collect()
}

fn commands(path: &Path, fence: Option<&Fence>, published: &[(u32, Published)]) -> Vec<CommandStatus> {
    let operation = fence.and_then(|fence| fence.exclusive_holder(Lock::Operation));
    let on_the_board = fence.map_or(Phase::Quiet, |fence| fence.board().phase);
    let phase = match on_the_board {
        Phase::Quiet => None,
        Phase::Settle => Some("waiting for requests"),
        Phase::Close | Phase::Moving => Some("swapping"),
        Phase::Moved => Some("making it durable"),
    };
    let mine = published
        .iter()
        .filter(|(_, published)| published.database == path);
    let mut commands: Vec<_> = mine
        .map(|(pid, published)| {
            let mut command = CommandStatus {
                pid: Some(*pid),
                ..published.command.clone()
            };
            if let Some(phase) = phase.filter(|_| operation == Some(*pid as i32)) {
                command.phase = phase.into();
                command.done = None;
                command.total = None;
            }
            command
        })
        .collect();
    // One in another container, or of another user.
    if let Some(pid) = operation.filter(|pid| !commands.iter().any(|one| one.pid == Some(*pid as u32))) {
        commands.push(CommandStatus {
            pid: u32::try_from(pid).ok().filter(|pid| *pid > 0),
            phase: phase.unwrap_or("preparing").into(),
            ..CommandStatus::default()
        });
    }
    commands
}

/// The versions that were kept next to the database. What they contain is in the record: opening a file could make a
/// worker wait that has just replaced it.
fn versions(path: &Path, entries: &[Entry]) -> Vec<VersionStatus> {
    let version = |number| {
        let path = previous::path_of(path, number);
        let metadata = std::fs::metadata(&path).ok()?;
        Some(VersionStatus {
            number,
            path: path.shown(),
            bytes: metadata.len(),
            modified: metadata.modified().map(record::rfc3339).unwrap_or_default(),
            only_rows: previous::mark_of(&path).is_ok_and(|mark| {
                let mut kept = entries.iter().filter(|entry| entry.previous == Some(mark));
                kept.any(|entry| entry.tables.is_some())
            }),
        })
    };
    previous::numbers(path).into_iter().filter_map(version).collect()
}

/// What only the database itself tells.
#[derive(Debug, Default)]
struct Facts {
    journal_mode: Option<String>,
    schema_version: Option<String>,
    user_version: Option<i64>,
}

/// Looks into the database with the locks of a pull. Knows nothing if a worker wants the members to close, or if the
/// disk does not answer.
fn look_into(path: &Path, fence: Option<&Fence>) -> Facts {
    let (tell, hear) = channel();
    let file = path.to_owned();
    let look = move || {
        leave_signals_to_others();
        // The receiver is gone if this took too long.
        let _ = tell.send(facts(&file));
    };
    let looking = || {
        let started = std::thread::Builder::new().name("glance".into()).spawn(look);
        started.ok().and_then(|_| hear.recv_timeout(GLANCE).ok())
    };
    match fence {
        // No process has joined, and a worker that begins now is far from its swap.
        None => looking(),
        Some(fence) => glance(fence, looking).flatten(),
    }
    .unwrap_or_default()
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
