//! Counts the rows of each table before and after a push, for the user and the record.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::worker::schema::mismatch::printable;

/// Larger files are not counted: SQLite reads the file to count its rows, about a megabyte in a millisecond.
const COUNTED: u64 = 32 * 1024 * 1024;
/// How long a count may take.
const PATIENCE: Duration = Duration::from_millis(200);
/// A database with more tables is not counted.
const MOST_TABLES: usize = 200;
/// How many tables the text names.
const NAMED: usize = 8;

/// The number of rows in each table of a database. `None` if they were not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowCounts(Option<Vec<(String, u64)>>);

/// The rows of the live database before a push, and of the new one.
#[derive(Debug, Default)]
pub(super) struct BeforeAndAfter {
    pub before: RowCounts,
    pub after: RowCounts,
}

impl RowCounts {
    /// Counts the rows, unless that takes long.
    pub(crate) fn count(connection: &Connection, file: &Path) -> Self {
        if !std::fs::metadata(file).is_ok_and(|file| file.len() <= COUNTED) {
            return Self(None);
        }
        let interrupt = connection.get_interrupt_handle();
        let (over, is_over) = channel::<()>();
        std::thread::scope(|scope| {
            // The pages of a damaged file can form a loop, which SQLite would count for ever.
            scope.spawn(move || {
                let mut patience = PATIENCE;
                while is_over.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                    interrupt.interrupt();
                    patience = Duration::from_millis(5);
                }
            });
            let counted = Self::of(connection);
            drop(over);
            // A failed count says nothing about the push.
            Self(counted.ok().flatten())
        })
    }

    /// Counts the rows, however long that takes.
    pub(super) fn count_all(connection: &Connection) -> Self {
        Self(Self::of(connection).ok().flatten())
    }

    fn of(connection: &Connection) -> rusqlite::Result<Option<Vec<(String, u64)>>> {
        let names = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
        let names: Vec<String> = connection
            .prepare(names)?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if names.len() > MOST_TABLES {
            return Ok(None);
        }
        let mut rows = Vec::new();
        for name in names {
            let sql = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
            let count = connection
                .query_row(&sql, [], |row| row.get::<_, i64>(0))
                .optional()?;
            rows.push((name, count.unwrap_or(0) as u64));
        }
        Ok(Some(rows))
    }

    /// What the record has.
    pub(super) fn known(rows: Option<BTreeMap<String, u64>>) -> Self {
        Self(rows.map(|rows| rows.into_iter().collect()))
    }

    /// The same for the record.
    pub(crate) fn counted(&self) -> Option<BTreeMap<String, u64>> {
        Some(self.0.as_ref()?.iter().cloned().collect())
    }

    fn of_table(&self, name: &str) -> Option<u64> {
        let rows = self.0.as_ref()?;
        rows.iter()
            .find(|(known, _)| known == name)
            .map(|(_, rows)| *rows)
    }

    /// "; rows: products 10 → 0", with each table that is larger or smaller in `new`. Empty if one side was not
    /// counted.
    pub(super) fn changes_to(&self, new: &Self) -> String {
        let (Some(before), Some(after)) = (&self.0, &new.0) else {
            return String::new();
        };
        let mut names: Vec<_> = before.iter().chain(after).map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        let changes = names.into_iter().filter_map(|name| {
            let shown = printable(name.as_bytes());
            match (self.of_table(name), new.of_table(name)) {
                (old, new) if old == new => None,
                (Some(old), Some(new)) => Some(format!("{shown} {old} → {new}")),
                (Some(old), None) => Some(format!("{shown} {old} → gone")),
                (None, new) => Some(format!("{shown} new, {}", new.unwrap_or(0))),
            }
        });
        let changes: Vec<_> = changes.collect();
        let named = changes[..changes.len().min(NAMED)].join(", ");
        match (changes.len(), changes.len().saturating_sub(NAMED)) {
            (0, _) => "; no table has more or fewer rows".into(),
            (_, 0) => format!("; rows: {named}"),
            (_, more) => format!("; rows: {named}, and {more} more tables"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(counts: &[(&str, u64)]) -> RowCounts {
        RowCounts(Some(
            counts
                .iter()
                .map(|(name, rows)| ((*name).into(), *rows))
                .collect(),
        ))
    }

    #[test]
    fn only_tables_that_grew_or_shrank_are_named() {
        let before = rows(&[("a", 1), ("b", 10), ("c", 2)]);
        let after = rows(&[("a", 1), ("b", 0), ("d", 7)]);
        assert_eq!(
            before.changes_to(&after),
            "; rows: b 10 → 0, c 2 → gone, d new, 7"
        );
        assert_eq!(before.changes_to(&before), "; no table has more or fewer rows");
        assert_eq!(before.changes_to(&RowCounts(None)), "");
    }

    #[test]
    fn tables_of_a_small_file_are_counted() {
        if !crate::worker::sqlite::system::adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("some.sqlite3");
        let connection = Connection::open(&file).unwrap();
        connection
            .execute_batch("CREATE TABLE \"odd \"\"name\"(x); INSERT INTO \"odd \"\"name\" VALUES (1), (2); CREATE TABLE b(y)")
            .unwrap();
        assert_eq!(
            RowCounts::count(&connection, &file),
            rows(&[("b", 0), ("odd \"name", 2)])
        );
    }
}
