//! The proof that the live database now contains what was pushed: compares every page with the staged file.
//!
//! A connection that had no part in the writing holds the state that the commit left, in a read transaction. So
//! requests go on while the pages are compared. In rollback mode a reader keeps writers out: there only the first
//! page and the number of pages are compared, while requests that write wait.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::pages::{count_of, differing, number, read_page};
use crate::error::{Context, Result};
use crate::worker::disk::staged::Staged;
use crate::worker::sqlite::header::{locked_page, DatabaseHeader};

/// The parts of the header that depend on the commit and not on the content: the change counters, the number of
/// pages, the schema number, and the version of SQLite that wrote the file.
const OF_THE_COMMIT: [Range<usize>; 3] = [24..32, 40..44, 92..100];

/// A connection that holds the state after the commit.
#[derive(Debug)]
pub(super) struct Proof {
    reader: Connection,
    page_size: u32,
    /// Whether this SQLite has the page table. If not, the worker has written all pages through SQLite's backup.
    shows_pages: bool,
}

impl Proof {
    /// Opens the connection, before requests wait.
    pub(super) fn prepare(live: &Path, staged: &Staged) -> Result<Self> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let reader = Connection::open_with_flags(live, flags).on_path("cannot open", live)?;
        let shows_pages = reader.prepare("SELECT data FROM sqlite_dbpage").is_ok();
        Ok(Self {
            reader,
            page_size: DatabaseHeader::read(&staged.head()?).page_size as u32,
            shows_pages,
        })
    }

    /// The connection.
    pub(super) fn reader(&self) -> &Connection {
        &self.reader
    }

    /// Holds the current state. It is the one that the commit left if no other process has written since.
    pub(super) fn hold(&self) -> Result<()> {
        // The only number that SQLite reads without the schema, which may be long.
        let held = self
            .reader
            .execute_batch("BEGIN")
            .and_then(|()| number(&self.reader, "PRAGMA data_version"));
        held.map(drop).context("cannot read the database after the write")
    }

    /// Whether the first page and the number of pages match `staged`.
    pub(super) fn header_is_right(&self, staged: &Staged) -> Result<bool> {
        let comparing = "cannot compare the database with the pushed file";
        if number(&self.reader, "PRAGMA page_count").context(comparing)? != count_of(staged, self.page_size) {
            return Ok(false);
        }
        if !self.shows_pages {
            return Ok(true);
        }
        let pushed = File::open(staged.path()).on_path("cannot open", staged.path())?;
        let mut expected = vec![0; self.page_size as usize];
        read_page(&pushed, 1, &mut expected).on_path("cannot read", staged.path())?;
        let mut found: Vec<u8> = self
            .reader
            .query_row("SELECT data FROM sqlite_dbpage WHERE pgno = 1", [], |row| {
                row.get(0)
            })
            .context(comparing)?;
        for range in OF_THE_COMMIT {
            expected[range.clone()].fill(0);
            found[range].fill(0);
        }
        Ok(found == expected)
    }

    /// Whether every page matches `staged`.
    pub(super) fn is_right(&self, staged: &Staged) -> Result<bool> {
        let right = self.header_is_right(staged)?;
        if !right || !self.shows_pages {
            return Ok(right);
        }
        let wrong = differing(
            &self.reader,
            staged,
            count_of(staged, self.page_size),
            self.page_size,
        )?;
        Ok(wrong
            .iter()
            .all(|page| [1, locked_page(self.page_size)].contains(page)))
    }
}
