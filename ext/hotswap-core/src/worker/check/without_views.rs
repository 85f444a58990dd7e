//! Checks that every page belongs to exactly one tree or to the free list.
//!
//! `PRAGMA integrity_check` does this, except where the newest of all tables and views is a view. A view has no
//! tree. SQLite then takes 0 for the number of the first tree, and 0 is its sign for a partial check (seen in 3.46.1
//! and 3.54.1). A free list that names pages in use, or pages that do not exist, would pass, and the application's
//! next write would hit it. So the check runs without views: this module drops them in a transaction that never
//! reaches the file.

use rusqlite::{types::Value, Connection};

/// Runs `work` on `connection` while it sees no views. The caller has exclusive use of the file.
pub(super) fn without_views<T>(
    connection: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let views = views(connection)?;
    // A file of another user may be read-only. It gets the partial check that SQLite makes if there is a view.
    if views.is_empty() || connection.is_readonly("main")? {
        return work();
    }
    write_nothing(connection)?;
    connection.execute_batch("BEGIN")?;
    let done = views
        .iter()
        .try_for_each(|view| {
            connection.execute_batch(&format!("DROP VIEW \"{}\"", view.replace('"', "\"\"")))
        })
        .and_then(|()| work());
    // After an error SQLite may have ended the transaction itself. At the latest it ends with the connection.
    let _ = connection.execute_batch("ROLLBACK");
    done
}

fn views(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'")?;
    let names = query.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Keeps the transaction's pages and its journal out of the file system. A database in WAL mode has no journal, and
/// setting another journal mode would change its header.
fn write_nothing(connection: &Connection) -> rusqlite::Result<()> {
    if ask(connection, "PRAGMA journal_mode")? != Some(String::from("wal").into()) {
        ask(connection, "PRAGMA journal_mode=MEMORY")?;
    }
    ask(connection, "PRAGMA cache_spill=OFF").map(drop)
}

fn ask(connection: &Connection, pragma: &str) -> rusqlite::Result<Option<Value>> {
    match connection.query_row(pragma, [], |row| row.get(0)) {
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        other => other.map(Some),
    }
}
