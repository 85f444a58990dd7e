//! Notices whether another process has written some tables since the worker has read them.
//!
//! With a WAL, the worker holds the state that it has read until it has the write lock, so that the pages committed
//! since then are in the WAL. It compares them with the pages of the tables' [trees](PageSet). With a rollback journal,
//! a reader would keep writers out, and only SQLite's change counter shows that there was a write, to any table.

use std::cell::Cell;
use std::fs::File;
use std::io::ErrorKind;
use std::mem::ManuallyDrop;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use super::pages::number;
use crate::error::{Context, Result};
use crate::sidecar::sidecars;
use crate::worker::command::Command;
use crate::worker::live::Live;
use crate::worker::snapshot::Snapshot;
use crate::worker::sqlite::foreign;
use crate::worker::sqlite::header::{CHANGE_COUNTER, RESERVED};
use crate::worker::sqlite::page_set::PageSet;
use crate::worker::sqlite::wal_index::LogIndex;
use crate::worker::tables::Table;

const LOOKING: &str = "cannot tell whether the live database was written";

/// A state of some tables, and what shows that it is not the current one any more.
#[derive(Debug)]
pub(super) struct Watch {
    /// The state, while it is held.
    held: Option<Snapshot>,
    sign: Sign,
}

#[derive(Debug)]
enum Sign {
    Log {
        /// Stays open until the process ends, because closing it would drop SQLite's locks.
        index: ManuallyDrop<File>,
        /// As far as the WAL is known. Requests may wait while the worker looks at the rest.
        before: Cell<LogIndex>,
        trees: PageSet,
        page_size: u64,
        /// The number that SQLite changes with the schema. The roots of the trees may move with it.
        schema: u32,
    },
    Counter {
        /// Stays open, likewise.
        file: ManuallyDrop<File>,
        before: [u8; 4],
    },
}

impl Watch {
    /// Holds the current state of `tables`.
    pub(super) fn begin(live: &Live, tables: &[Table], command: &Command) -> Result<Self> {
        let path = live.path();
        let log = match live.is_wal() {
            true => {
                let index = sidecars(path).nth(1).expect("the index comes second");
                let index = ManuallyDrop::new(File::open(&index).on_path("cannot open", &index)?);
                // Read before the transaction begins. What is committed in between counts as news, but none is missed.
                let before = LogIndex::read(&index).context(LOOKING)?;
                Some((index, before))
            }
            false => None,
        };
        let snapshot = Snapshot::take(path, command.client)?;
        foreign::load_extensions(snapshot.connection(), &command.database.extensions)?;
        let sign = match log {
            Some((index, before)) => Sign::Log {
                index,
                before: Cell::new(before),
                schema: number(snapshot.connection(), "PRAGMA schema_version")
                    .on_path("cannot read", path)?,
                trees: trees_of(tables, &snapshot)?,
                page_size: snapshot.page_size(),
            },
            None => Sign::counter(&snapshot)?,
        };
        Ok(Self {
            held: Some(snapshot),
            sign,
        })
    }

    /// The connection that reads the state.
    pub(super) fn reader(&self) -> &Connection {
        self.held.as_ref().expect("the state is held").connection()
    }

    /// How many pages the tables have, if that is known.
    pub(super) fn pages(&self) -> Option<u64> {
        match &self.sign {
            Sign::Log { trees, .. } => Some(trees.pages().into()),
            Sign::Counter { .. } => None,
        }
    }

    /// The tables have been read.
    pub(super) fn is_read(&mut self) {
        if matches!(self.sign, Sign::Counter { .. }) {
            self.let_go();
        }
    }

    /// Whether the tables may have other rows by now than in the state. `live` may have the write lock.
    pub(super) fn is_outdated(&self, live: &Live) -> Result<bool> {
        match &self.sign {
            Sign::Log {
                index,
                before,
                trees,
                page_size,
                schema,
            } => {
                let now = number(live.connection(), "PRAGMA schema_version").context(LOOKING)?;
                if now != *schema {
                    return Ok(true);
                }
                let now = LogIndex::read(index).context(LOOKING)?;
                let Some(skipped) = now.frames_before_news_since(&before.get()) else {
                    return Ok(true);
                };
                if skipped < now.frames {
                    let log = sidecars(live.path()).next().expect("the log comes first");
                    let log = File::open(&log).on_path("cannot open", &log)?;
                    let changed = now.newest_frames(&log, *page_size, skipped).context(LOOKING)?;
                    if changed.into_keys().any(|page| trees.contains(page)) {
                        return Ok(true);
                    }
                }
                before.set(now);
                Ok(false)
            }
            Sign::Counter { file, before } => Ok(counter_in(file).context(LOOKING)? != *before),
        }
    }

    /// Lets go of the state, when the worker has written or another plan takes the place of this one. Until then SQLite
    /// cannot start the WAL over, which would sync its header while requests wait.
    pub(super) fn let_go(&mut self) {
        if let Some(snapshot) = self.held.take() {
            // Closing it would drop the locks of the other connections.
            std::mem::forget(snapshot.into_file());
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Sign {
    fn counter(snapshot: &Snapshot) -> Result<Self> {
        let file = snapshot.file().try_clone().context(LOOKING)?;
        let before = counter_in(&file).context(LOOKING)?;
        let file = ManuallyDrop::new(file);
        Ok(Self::Counter { file, before })
    }
}

fn trees_of(tables: &[Table], snapshot: &Snapshot) -> Result<PageSet> {
    let mut roots = Vec::new();
    for table in tables {
        let of_table = table.trees(snapshot.connection());
        roots.extend(of_table.context("cannot read the schema of the live database")?);
    }
    let size = snapshot.page_size() as usize;
    let mut first = vec![0; size];
    snapshot.read_page(1, &mut first)?;
    let reserved = usize::from(first[RESERVED]);
    PageSet::of_trees(&roots, size, reserved, |page, buffer| {
        snapshot.read_page(page, buffer)
    })
}

fn counter_in(file: &File) -> std::io::Result<[u8; 4]> {
    let mut counter = [0; 4];
    match file.read_exact_at(&mut counter, CHANGE_COUNTER as u64) {
        // A database without content has no header.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok([0; 4]),
        read => read.map(|()| counter),
    }
}
