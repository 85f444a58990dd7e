//! Rows that a push would lose.

use rusqlite::{Connection, OptionalExtension};

use super::contents::has_rows;
use crate::error::{BadFile, Context, Result};
use crate::percent::Percent;
use crate::worker::schema::mismatch::printable;
use crate::worker::schema::object::Object;
use crate::worker::schema::Schema;

/// How many tables a text names.
const NAMED: usize = 8;

/// One of the two databases, and its schema.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    pub connection: &'a Connection,
    pub schema: &'a Schema,
}

/// The warning about tables that have rows in the live database and would have none. Reads one row of each table.
pub(super) fn emptied(live: Side<'_>, incoming: Side<'_>) -> Option<String> {
    let emptied = live.schema.tables().filter_map(|table| {
        // A table that cannot be read, for example because its module is missing, is not counted as empty.
        let had = has_rows(live.connection, &table.name).unwrap_or(false);
        let shown = printable(&table.name);
        match incoming.table(table) {
            Some(new) if had && !has_rows(incoming.connection, &new.name).unwrap_or(true) => Some(shown),
            None if had => Some(format!("{shown} (the table is gone)")),
            _ => None,
        }
    });
    match listed(emptied.collect()) {
        names if names.is_empty() => None,
        names => Some(format!("these tables lose all their rows: {names}")),
    }
}

/// Refuses the file that the user calls `name` if a table loses a larger part of its rows than `limit`. Counts all
/// rows.
pub(super) fn require_within(
    limit: Percent,
    live: Side<'_>,
    incoming: Side<'_>,
    name: &str,
    database: &str,
) -> Result<()> {
    let mut shrunk = Vec::new();
    for table in live.schema.tables() {
        let Some(before) = live.count(table)? else {
            continue;
        };
        let new = incoming.table(table);
        let after = match new {
            Some(new) => incoming.count(new)?.unwrap_or(before),
            None => 0,
        };
        if after < before && Percent::of(before - after, before) > limit {
            let lost = Percent::of(before - after, before);
            let now = new.map_or("gone".to_owned(), |_| after.to_string());
            shrunk.push(format!("{} {before} → {now} (-{lost})", printable(&table.name)));
        }
    }
    if shrunk.is_empty() {
        return Ok(());
    }
    Err(BadFile::Shrunk {
        name: name.into(),
        database: database.into(),
        limit,
        tables: listed(shrunk),
    }
    .into())
}

impl<'a> Side<'a> {
    /// The same table. SQLite ignores the case of names.
    fn table(self, other: &Object) -> Option<&'a Object> {
        let mut tables = self.schema.tables();
        tables.find(|table| table.name.eq_ignore_ascii_case(&other.name))
    }

    /// The number of rows. `None` if the table cannot be read, for example because its module is missing.
    fn count(self, table: &Object) -> Result<Option<u64>> {
        let Ok(name) = std::str::from_utf8(&table.name) else {
            return Ok(None);
        };
        let sql = format!("SELECT count(*) FROM main.\"{}\"", name.replace('"', "\"\""));
        let Ok(mut query) = self.connection.prepare(&sql) else {
            return Ok(None);
        };
        let count = query.query_row([], |row| row.get::<_, i64>(0)).optional();
        let counting = format!("cannot count the rows of {}", printable(&table.name));
        Ok(count.context(counting)?.map(|count| count as u64))
    }
}

fn listed(names: Vec<String>) -> String {
    let named = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}
