//! Makes a staged file fit into the live one, which stays the same file.
//!
//! The page size cannot change in WAL mode, the encoding cannot change while another process has the database open,
//! and the tables that a replication tool keeps in the database have to stay.

use std::path::Path;

use rusqlite::{params_from_iter, types::Value, Connection, ErrorCode};

use crate::error::{is_of_the_machine, BadFile, Context, Error, Refused, Result};
use crate::visible::{self, Shown};
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::push::room::{self, Operation};
use crate::worker::schema::definition::Definition;
use crate::worker::schema::is_of_a_tool;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::header::DatabaseHeader;
use crate::worker::sqlite::vfs::Purpose;

/// Litestream's sequence and lock tables. If the new content did not have them, Litestream would stop replicating.
const KEPT: &str =
    "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name IN ('_litestream_seq', '_litestream_lock')";

/// Rewrites `staged` if necessary, and returns whether it did. A rewritten file has to be checked again, and then be
/// given the live database's journal mode.
pub(crate) fn fit(staged: &mut Staged, live: &mut Live, command: &Command) -> Result<bool> {
    let incoming = DatabaseHeader::read(&staged.head()?);
    let wal = live.is_wal();
    let path = live.path().to_owned();
    let live = live.connection();
    if is_damaged(live) {
        return Ok(false); // `InPlaceWrite::prepare` refuses it.
    }
    let page_size: u32 = live
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .on_path("cannot read", &path)?;
    refuse_another_encoding(live, incoming.encoding)?;
    let kept = kept(live).on_path("cannot read the schema of", &path)?;
    let there = Foreign::open(
        staged.path(),
        Purpose::Reading,
        &command.database.extensions,
        command.client,
    )?;
    let missing: Vec<_> = {
        let there = self::kept(&there)
            .on_path("cannot read the schema of", staged.path())
            .map_err(|error| there.explain(error))?;
        kept.into_iter().filter(|table| !there.contains(table)).collect()
    };
    drop(there);
    let repage = wal && incoming.page_size != u64::from(page_size);
    if missing.is_empty() && !repage {
        return Ok(false);
    }

    // SQLite could write a file with a WAL header only through a WAL.
    staged.set_wal(false)?;
    if repage {
        *staged = repaged(staged, &path, page_size, command)?;
    }
    let changed = open_to_change(staged, command)?;
    for (name, sql) in &missing {
        carry_over(live, &changed, name, sql)
            .context(format!("cannot keep the table {name}"))
            .map_err(|error| changed.explain(error))?;
    }
    drop(changed);
    staged.remeasure()?;
    Ok(true)
}

/// Copies the content of `staged` into another staged file next to `live`, with another page size.
///
/// It uses VACUUM INTO, which keeps rowids. VACUUM assigns new ones to the rows of a table without INTEGER PRIMARY
/// KEY and index, and a full-text index that refers to the old ones would find other rows.
fn repaged(staged: &Staged, live: &Path, page_size: u32, command: &Command) -> Result<Staged> {
    let mut repaged = Staged::create(live)?;
    room::require(
        repaged.file(),
        staged.len(),
        "rewriting the file with pages of another size",
        command,
        Operation::Held,
    )?;
    let target = repaged.path().to_str().ok_or_else(|| Refused::NameIsNotUtf8 {
        database: live.to_owned(),
        page_size,
    })?;
    let connection = open_to_change(staged, command)?;
    connection
        .execute_batch(&format!("PRAGMA page_size = {page_size}"))
        .and_then(|()| connection.execute("VACUUM INTO ?1", [target]))
        .map_err(|source| match is_of_the_machine(&source) {
            true => Error::sqlite(format!("cannot write {}", repaged.path().shown()), source),
            false => BadFile::OtherPageSize {
                page_size,
                why: visible::line(source.to_string()),
            }
            .into(),
        })
        .map_err(|error| connection.explain(error))?;
    repaged.remeasure()?;
    Ok(repaged)
}

/// Whether the live database is so damaged that SQLite reads nothing of it.
fn is_damaged(live: &Connection) -> bool {
    let read = live.query_row("PRAGMA schema_version", [], |_| Ok(()));
    let code = read.err().and_then(|error| error.sqlite_error_code());
    matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Refuses another encoding: every open connection would fail from then on, with a message about attached databases.
fn refuse_another_encoding(live: &Connection, incoming: u32) -> Result<()> {
    let pages: u32 = live
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .context("cannot read the live database")?;
    let names = ["UTF-8", "UTF-16le", "UTF-16be"];
    let current: String = live
        .query_row("PRAGMA encoding", [], |row| row.get(0))
        .context("cannot read the live database")?;
    let incoming = names.get((incoming as usize).wrapping_sub(1)).copied();
    if pages == 0 || incoming.is_none_or(|incoming| incoming == current) {
        return Ok(());
    }
    Err(BadFile::OtherEncoding {
        encoding: incoming.unwrap_or_default(),
        live: current,
    }
    .into())
}

/// Litestream's tables, with their CREATE statements. Skips a table of the application that has such a name but
/// other columns.
fn kept(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut query = connection.prepare(KEPT)?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut tables: Vec<(String, String)> = rows.collect::<rusqlite::Result<_>>()?;
    tables.retain(|(name, sql)| is_of_a_tool(name.as_bytes(), &Definition::of(sql.as_bytes())));
    Ok(tables)
}

/// Opens the file without a journal: only this worker uses it, and it is removed if the worker dies.
fn open_to_change(staged: &Staged, command: &Command) -> Result<Foreign> {
    let connection = Foreign::open(
        staged.path(),
        Purpose::Changing,
        &command.database.extensions,
        command.client,
    )?;
    connection
        .query_row("PRAGMA journal_mode = MEMORY", [], |_| Ok(()))
        .and_then(|()| connection.execute_batch("PRAGMA synchronous = OFF"))
        .on_path("cannot set up a connection to", staged.path())?;
    Ok(connection)
}

fn carry_over(live: &Connection, staged: &Connection, name: &str, sql: &str) -> rusqlite::Result<()> {
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    staged.execute_batch(&format!("DROP TABLE IF EXISTS {quoted}; {sql}"))?;
    let mut rows = live.prepare(&format!("SELECT * FROM {quoted}"))?;
    let columns = rows.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut insert = staged.prepare(&format!("INSERT INTO {quoted} VALUES ({places})"))?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns)
            .map(|column| row.get(column))
            .collect::<rusqlite::Result<Vec<Value>>>()?;
        insert.execute(params_from_iter(values))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    #[test]
    fn only_the_two_tables_of_litestream_are_kept_and_no_others_of_such_a_name() {
        adopt_the_systems_sqlite();
        let names = |statements: &str| -> Vec<String> {
            let connection = Connection::open_in_memory().unwrap();
            connection.execute_batch(statements).unwrap();
            kept(&connection)
                .unwrap()
                .into_iter()
                .map(|(name, _)| name)
                .collect()
        };
        let own = "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); CREATE TABLE _litestream_lock (id INTEGER)";
        assert_eq!(names(own), ["_litestream_seq", "_litestream_lock"]);
        let of_the_application =
            "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq TEXT); CREATE TABLE _litestream_lock (id INTEGER, name TEXT);
             CREATE TABLE _litestream_users (name TEXT)";
        assert_eq!(names(of_the_application), Vec::<String>::new());
    }
}
