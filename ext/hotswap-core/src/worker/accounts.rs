//! Whether every page is accounted for: in one tree, or free.
//!
//! `PRAGMA integrity_check` asks that, but not where the newest of all tables and views is a view: a view has no
//! tree, and what SQLite takes for the number of the first tree is then 0, its sign for a partial check (seen in
//! 3.46.1 and 3.54.1). A list of free pages that names pages in use, or none that exist, would pass, and the
//! application's next write would find it. So the check is made without views: they are dropped in a transaction of
//! which nothing reaches the file.

use rusqlite::{types::Value, Connection};

/// Runs `work` on `connection` while it sees no views. Nobody else uses the file.
pub fn without_views<T>(
    connection: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let views = views(connection)?;
    // A file that belongs to somebody else is looked at as far as that goes.
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
    // Where it fails, the transaction has ended by itself, and ends with the connection at the latest.
    let _ = connection.execute_batch("ROLLBACK");
    done
}

fn views(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'")?;
    let names = query.query_map([], |row| row.get(0))?;
    names.collect()
}

/// Neither a page of a transaction nor a journal. A file that keeps a log has no journal, and asking for another kind
/// would change its header.
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
