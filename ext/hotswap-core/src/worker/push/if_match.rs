//! `--if-match`: the swap takes place only if the live database has the content that the user has seen.
//!
//! The worker compares the identity of the content with the gates open, because it has to read all pages. From then on
//! it asks only SQLite's own counters whether a write was committed since: right before the gates close, when every
//! member has let go, and under the lock with which it writes in place. Before a rename there is a moment between the
//! last ordinary connection and the exclusive one, in which a program outside the fleet can write. A [`Seal`] shows
//! that.
//!
//! A counter may also move without a change of content, for example when the WAL is emptied. So the worker then
//! compares the identity again.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::stat::{utimensat, UtimensatFlags};
use nix::sys::time::TimeSpec;
use rusqlite::Connection;

use crate::content_id::ContentId;
use crate::error::{Busy, Changed, Context, Result};
use crate::record;
use crate::worker::command::Command;
use crate::worker::fleet::pull_lock::PullLock;
use crate::worker::live::Live;
use crate::worker::push::row_counts::RowCounts;
use crate::worker::snapshot::Snapshot;

/// How often the worker compares.
const ATTEMPTS: u32 = 3;

/// The offset and the length of the number in the header that each transaction changes, unless there is a WAL.
const CHANGE_COUNTER: std::ops::Range<u64> = 24..28;

/// The content that the user expects, and how often the live database was written while the worker compared it.
pub(super) struct IfMatch {
    expected: ContentId,
    written: u32,
}

impl IfMatch {
    /// What `command` asks for. Refuses it before the source is received, if the database has other content already.
    pub(super) fn of(command: &Command) -> Result<Option<Self>> {
        let Some(expected) = command.request.if_match else {
            return Ok(None);
        };
        // With --if-changed, a database that has the new content already is right, too.
        if !command.request.if_changed {
            command.at_low_priority(|| compare_early(command, expected))?;
        }
        Ok(Some(Self { expected, written: 0 }))
    }

    /// Compares the live database with what the user expects, while the gates are open.
    pub(super) fn compare(&self, live: Option<&mut Live>, command: &Command) -> Result<Unwritten> {
        let live = live.ok_or_else(|| absent(command))?;
        let expected = self.expected;
        command.at_low_priority(move || Unwritten::compare(live, expected, command))
    }

    /// Counts a write that came after the comparison. Fails if the worker has compared often enough.
    pub(super) fn count_write(&mut self, command: &Command) -> Result<()> {
        self.written += 1;
        if self.written < ATTEMPTS {
            return Ok(());
        }
        let database = command.database.label.clone();
        Err(Changed::AgainAndAgain { database }.into())
    }
}

fn absent(command: &Command) -> crate::error::Error {
    let database = command.database.label.clone();
    Changed::Absent { database }.into()
}

/// Compares as a pull reads: with the locks of a pull, and no connection stays open while the source is received.
fn compare_early(command: &Command, expected: ContentId) -> Result<()> {
    let path = &*command.path;
    if !path.try_exists().on_path("cannot stat", path)? {
        return Err(absent(command));
    }
    let lock = PullLock::take(command)?;
    let compared =
        Snapshot::take(path, command.client).and_then(|snapshot| require(&snapshot, expected, command));
    drop(lock);
    compared
}

fn require(snapshot: &Snapshot, expected: ContentId, command: &Command) -> Result<()> {
    let now = snapshot.identity(|done| {
        command.client.progress("comparing", done, snapshot.len());
        command.client.check_presence()
    })?;
    if now == expected {
        return Ok(());
    }
    Err(Changed::Written {
        database: command.database.label.clone(),
        expected,
        now,
        rows: rows_of(&command.path, expected)
            .changes_to(&RowCounts::count(snapshot.connection(), &command.path)),
    }
    .into())
}

/// The rows of the content with this identity, if a command that saw it has counted them.
fn rows_of(database: &Path, identity: ContentId) -> RowCounts {
    let identity = Some(identity.to_string());
    let entries = record::entries(database).unwrap_or_default();
    let seen = entries
        .into_iter()
        .rev()
        .filter(|entry| entry.identity == identity);
    RowCounts::known(seen.filter_map(|entry| entry.rows).next())
}

/// The sign by which the worker notices each write since it compared the content.
pub(super) enum Unwritten {
    /// In WAL mode: SQLite's number for what a connection sees.
    Log {
        /// A connection that only looks. It can be asked while the other one writes in place.
        witness: Connection,
        /// Its number.
        version: i64,
        /// That of the live database's ordinary connection, which does not count when that connection empties the WAL.
        own: i64,
    },
    /// With a rollback journal: the change counter in the file. It can be read while the worker has the lock.
    File(Arc<File>, [u8; 4]),
}

impl Unwritten {
    fn compare(live: &mut Live, expected: ContentId, command: &Command) -> Result<Self> {
        let path = &*command.path;
        let log = match live.is_wal() {
            true => {
                let witness = live.another_connection()?;
                let version = data_version(&witness).on_path("cannot read", path)?;
                let own = data_version(live.connection()).on_path("cannot read", path)?;
                Some(Self::Log {
                    witness,
                    version,
                    own,
                })
            }
            false => None,
        };
        let snapshot = Snapshot::take(path, command.client)?;
        let compared = require(&snapshot, expected, command);
        // While the snapshot was pinned, no transaction could change the file in this mode.
        let counter = change_counter(snapshot.file()).on_path("cannot read", path);
        let file = Arc::new(snapshot.into_file());
        live.keep_open(file.clone());
        compared?;
        match log {
            Some(log) => Ok(log),
            None => Ok(Self::File(file, counter?)),
        }
    }

    /// Fails with [`Busy::Written`] if a write was committed since.
    pub(super) fn require(&self) -> Result<()> {
        match self {
            Self::Log { witness, version, .. } => same(data_version(witness).context(LOOKING)?, *version),
            Self::File(file, counter) => same(change_counter(file).context(LOOKING)?, *counter),
        }
    }

    /// The same before the last ordinary connection is closed. Later writes leave a trace.
    pub(super) fn seal(self, live: &Live) -> Result<Seal> {
        live.empty_the_log();
        let seal = Seal::put_on(live.path())?;
        match self {
            Self::Log { own, .. } => same(data_version(live.connection()).context(LOOKING)?, own)?,
            Self::File(..) => self.require()?,
        }
        Ok(seal)
    }
}

const LOOKING: &str = "cannot tell whether the live database was written";

fn same<T: PartialEq>(now: T, before: T) -> Result<()> {
    match now == before {
        true => Ok(()),
        false => Err(Busy::Written.into()),
    }
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA data_version", [], |row| row.get(0))
}

fn change_counter(file: &File) -> std::io::Result<[u8; 4]> {
    let mut counter = [0; 4];
    match file.read_exact_at(&mut counter, CHANGE_COUNTER.start) {
        // A database without content has no header.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok([0; 4]),
        read => read.map(|()| counter),
    }
}

/// A time of the last change that no other program can have given to the file. SQLite writes into the file at the
/// latest when the exclusive connection empties the WAL, and then the time is another one.
pub(super) struct Seal((i64, i64));

impl Seal {
    fn put_on(path: &Path) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let access = TimeSpec::new(0, libc::UTIME_OMIT);
        // The kernel itself uses a clock with a few milliseconds per step. Only the owner of a file may set a time;
        // without it a write in the same step as the one before it would not show.
        let _ = utimensat(
            nix::fcntl::AT_FDCWD,
            path,
            &access,
            &now.into(),
            UtimensatFlags::NoFollowSymlink,
        );
        time_of_last_change(path).map(Self)
    }

    /// Fails with [`Busy::Written`] if the file was written since. No other process can write it now.
    pub(super) fn confirm(&self, path: &Path) -> Result<()> {
        same(time_of_last_change(path)?, self.0)
    }
}

fn time_of_last_change(path: &Path) -> Result<(i64, i64)> {
    let metadata = std::fs::metadata(path).on_path("cannot stat", path)?;
    Ok((metadata.mtime(), metadata.mtime_nsec()))
}
