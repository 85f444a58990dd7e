//! The pages of a database, as SQLite shows them (`sqlite_dbpage`), and those of the staged file.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;

use crate::error::{Context, Result};
use crate::worker::disk::staged::Staged;

/// Which pages of the staged file differ from those in the database of `reader`. The staged file has `count` pages.
pub(super) fn differing(
    reader: &Connection,
    staged: &Staged,
    count: u32,
    page_size: u32,
) -> Result<BTreeSet<u32>> {
    let comparing = "cannot compare the staged file with the live database";
    let content = File::open(staged.path()).on_path("cannot open", staged.path())?;
    let mut query = reader
        .prepare("SELECT pgno, data FROM sqlite_dbpage")
        .context(comparing)?;
    let mut rows = query.query([]).context(comparing)?;
    let mut buffer = vec![0; page_size as usize];
    let mut differing = BTreeSet::new();
    let mut there = 0;
    while let Some(row) = rows.next().context(comparing)? {
        there = row.get(0).context(comparing)?;
        if there > count {
            break;
        }
        read_page(&content, there, &mut buffer).on_path("cannot read", staged.path())?;
        let same = row
            .get_ref(1)
            .context(comparing)?
            .as_blob()
            .is_ok_and(|page| page == buffer);
        if !same {
            differing.insert(there);
        }
    }
    differing.extend(there + 1..=count);
    Ok(differing)
}

/// Reads one page of a file.
pub(super) fn read_page(file: &File, page: u32, buffer: &mut [u8]) -> std::io::Result<()> {
    file.read_exact_at(buffer, (u64::from(page) - 1) * buffer.len() as u64)
}

/// The number of pages in the staged file.
pub(super) fn count_of(staged: &Staged, page_size: u32) -> u32 {
    (staged.len() / u64::from(page_size)) as u32
}

/// The result of a PRAGMA that returns a number.
pub(super) fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<u32> {
    connection.query_row(pragma, [], |row| row.get(0))
}
