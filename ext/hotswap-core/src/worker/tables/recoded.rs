//! The rows of a table of a file whose text encoding is not that of the live database.
//!
//! SQLite compares texts byte by byte, and orders keys by their bytes. So the rows are first copied into the difference
//! file, which has the encoding of the live database.

use rusqlite::Connection;

use super::cursor::{Collation, Cursor};
use super::sql::{list, parameters};
use super::table::Table;
use crate::error::{Context, Result};

/// How many rows are copied between two calls of `tick`.
const STEP: u64 = 1000;
const COPY: &str = "hotswap_copy";

/// Whether both databases store text in the same way.
pub(super) fn is_needed(live: &Connection, file: &Connection) -> rusqlite::Result<bool> {
    let encoding = |connection: &Connection| {
        connection.query_row("PRAGMA main.encoding", [], |row| row.get::<_, String>(0))
    };
    Ok(encoding(live)? != encoding(file)?)
}

/// Copies the rows of the file's table, and returns a statement that reads them in the order of the keys.
pub(super) fn copy(
    file: &Connection,
    target: &Connection,
    table: &Table,
    mut tick: impl FnMut() -> Result<()>,
) -> Result<String> {
    let copying = format!("cannot copy the table {}", table.name);
    target
        .execute_batch(&format!("CREATE TABLE {COPY} ({})", list(table.places())))
        .context(&copying)?;
    let insert = format!("INSERT INTO {COPY} VALUES ({})", parameters(table.width()));
    let mut insert = Cursor::prepare(target, &insert).context(&copying)?;
    let mut rows = Cursor::prepare(file, &table.select()).context(&copying)?;
    let mut copied = 0;
    while rows.step().context(&copying)? {
        if copied % STEP == 0 {
            tick()?;
        }
        copied += 1;
        (0..table.width())
            .try_for_each(|at| insert.bind(at + 1, &rows, at))
            .and_then(|()| insert.run())
            .context(&copying)?;
    }
    let order = table.key.iter().enumerate().map(|(at, key)| {
        let collation = match key.collation {
            Collation::Binary => "BINARY",
            Collation::NoCase => "NOCASE",
            Collation::RTrim => "RTRIM",
        };
        let direction = if key.descending { " DESC" } else { "" };
        format!("k{at} COLLATE {collation}{direction}")
    });
    Ok(format!(
        "SELECT {} FROM {COPY} ORDER BY {}",
        list(table.places()),
        list(order)
    ))
}

/// Removes the copy.
pub(super) fn forget(target: &Connection) -> rusqlite::Result<()> {
    target.execute_batch(&format!("DROP TABLE {COPY}"))
}
