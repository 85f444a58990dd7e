//! A state of a database in WAL mode that is pinned at one moment and copied later.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::pages::Pages;
use super::Snapshot;
use crate::error::{Context, Result};
use crate::sidecar::sidecars;
use crate::worker::sqlite::wal_index::LogIndex;

/// A connection that can begin to hold a state in microseconds.
#[derive(Debug)]
pub(crate) struct Pin {
    connection: Connection,
    /// Stays open until the process ends, because closing it would drop SQLite's locks.
    index: ManuallyDrop<File>,
    held: Option<LogIndex>,
    path: PathBuf,
}

impl Pin {
    /// Opens the database at `path` (resolved), which is in WAL mode and open in this process.
    pub(crate) fn prepare(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).on_path("cannot open", path)?;
        // SQLite opens the WAL and its index with the first read, which takes longer than all later ones.
        read(&connection).on_path("cannot read", path)?;
        let index = sidecars(path).nth(1).expect("the index comes second");
        Ok(Self {
            connection,
            index: ManuallyDrop::new(File::open(&index).on_path("cannot open", &index)?),
            held: None,
            path: path.to_owned(),
        })
    }

    /// Holds the committed state, which no other connection changes meanwhile. It takes microseconds if
    /// [`hold_for_now`](Self::hold_for_now) holds that state already.
    pub(crate) fn hold(&mut self) -> Result<()> {
        let now = self.index()?;
        if self.held.is_none_or(|held| !held.has_same_content(&now)) {
            self.begin()?;
            // What a checkpoint has moved into the main file by then need not stay in the WAL.
            self.held = Some(self.index()?);
        }
        Ok(())
    }

    /// Holds the committed state, or none if another connection commits meanwhile.
    pub(crate) fn hold_for_now(&mut self) -> Result<()> {
        let before = self.index()?;
        self.begin()?;
        self.held = Some(self.index()?).filter(|after| before.has_same_content(after));
        Ok(())
    }

    /// Holds nothing.
    pub(crate) fn let_go(&mut self) -> Result<()> {
        self.held = None;
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection
            .execute_batch("ROLLBACK")
            .on_path("cannot read", &self.path)
    }

    fn begin(&mut self) -> Result<()> {
        self.let_go()?;
        let begun = self.connection.execute_batch("BEGIN");
        begun
            .and_then(|()| read(&self.connection))
            .on_path("cannot read", &self.path)
    }

    fn index(&self) -> Result<LogIndex> {
        LogIndex::read(&self.index).on_path("cannot read the WAL index of", &self.path)
    }

    /// The state that it holds. `None` if it holds none.
    pub(crate) fn snapshot(self) -> Result<Option<Snapshot>> {
        let Some(state) = self.held else {
            return Ok(None);
        };
        let number = |pragma: &str| {
            let number = self.connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
            number.on_path("cannot read", &self.path)
        };
        let (size, count) = (
            number("PRAGMA page_size")? as u64,
            number("PRAGMA page_count")? as u64,
        );
        let mut pages = Pages {
            main: File::open(&self.path).on_path("cannot open", &self.path)?,
            log: None,
            size,
            count,
            path: self.path,
        };
        pages.lay_log_over(&state)?;
        Ok(Some(Snapshot {
            connection: self.connection,
            pages,
        }))
    }
}

/// Makes SQLite look at the database. No other number can be read without the schema, which may be long.
fn read(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA data_version", [], |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_state_that_a_checkpoint_moves_while_it_is_held_can_be_read_when_the_log_starts_over() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.sqlite3");
        let connect = || Connection::open(&path).unwrap();
        let writer = connect();
        writer
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (n)",
            )
            .unwrap();
        let mut pin = Pin::prepare(&path).unwrap();
        let mut pages = Pages::of(&writer, &path).unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let checkpointer = connect();
                while !over.load(Ordering::Relaxed) {
                    checkpointer
                        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                        .unwrap();
                }
            });
            let mut readable = Ok(());
            for _ in 0..2_000 {
                pin.let_go().unwrap();
                writer.execute("INSERT INTO t VALUES (1)", []).unwrap();
                pin.hold_for_now().unwrap();
                pin.hold().unwrap();
                writer.execute("INSERT INTO t VALUES (2)", []).unwrap();
                readable = readable.and(pages.lay_log_over(&pin.held.unwrap()));
            }
            over.store(true, Ordering::Relaxed);
            readable.unwrap();
        });
    }
}
