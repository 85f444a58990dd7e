//! The proof that what is live after a write is what was pushed: every page, compared with the staged file.
//!
//! A connection that had no part in the writing holds the state that the commit left, in a read transaction. So requests go on
//! while the pages are compared. With a rollback journal a reader keeps writers out: there the first page and the number
//! of pages are compared, while requests wait.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::super::header::DatabaseHeader;
use super::super::staged::Staged;
use super::pages::{count_of, differing, locked_page, number, read_page};
use crate::error::{Context, Result};

/// What the header says of the commit and not of the content: how many changes and pages there are, the number of the
/// schema, and which SQLite wrote it.
const OF_THE_COMMIT: [Range<usize>; 3] = [24..32, 40..44, 92..100];

/// See the module.
#[derive(Debug)]
pub struct Proof {
    reader: Connection,
    page_size: u32,
    /// Whether this SQLite shows pages. One that does not has written all of them, by its own backup.
    shows_pages: bool,
}

impl Proof {
    /// Opens the connection, before requests wait.
    pub fn prepare(live: &Path, staged: &Staged) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(live, flags).on_path("cannot open", live)?;
        let shows_pages = reader.prepare("SELECT data FROM sqlite_dbpage").is_ok();
        Ok(Self {
            reader,
            page_size: DatabaseHeader::read(&staged.head()?).page_size as u32,
            shows_pages,
        })
    }

    /// Holds what is there, which is what the commit left if nobody else has written since.
    pub fn hold(&self) -> Result<()> {
        // The one number that SQLite reads without the schema, which may be long.
        let held = self
            .reader
            .execute_batch("BEGIN")
            .and_then(|()| number(&self.reader, "PRAGMA data_version"));
        held.map(drop).context("cannot read what was written")
    }

    /// Whether it is what `staged` has, as far as the first page and the number of pages tell.
    pub fn header_is_right(&self, staged: &Staged) -> Result<bool> {
        let comparing = "cannot compare what was written with what was pushed";
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

    /// Whether it is, to the last page.
    pub fn is_right(&self, staged: &Staged) -> Result<bool> {
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
