//! What hotswap has to know of a table to read and write its rows.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::cursor::Collation;
use super::search::Search;
use super::sql::{list, quoted};

/// A table whose rows are compared and written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    pub(super) name: String,
    /// The columns that identify a row. The only one of a table that is compared by its rowid is that.
    pub(super) key: Vec<Key>,
    /// Whether the key is the rowid, or another name of it.
    pub(super) by_rowid: bool,
    /// The other columns that can be written.
    pub(super) columns: Vec<Column>,
    /// Generated columns, which a full-text index needs.
    pub(super) generated: Vec<String>,
    /// The full-text indexes that have no content of their own, but that of this table.
    pub(super) searches: Vec<Search>,
    /// How many indexes it has.
    pub(super) indexes: u32,
    /// Whether a changed row can be updated. If not, it is deleted and inserted again.
    pub(super) updatable: bool,
    /// The names with a root page in `sqlite_schema`: the table, its indexes, and the tables of virtual tables.
    pub(super) parts: Vec<String>,
}

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    pub name: String,
    pub collation: Collation,
    pub descending: bool,
}

/// A column that can be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    pub name: String,
    /// Whether two rows must not have the same value in it, alone or together with others.
    pub unique: bool,
    /// How many indexes may have an entry for it.
    pub indexes: u32,
}

impl Column {
    fn without_indexes(&self) -> Self {
        Self {
            indexes: 0,
            ..self.clone()
        }
    }
}

impl Table {
    /// Its name, as the live database spells it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The first pages of the b-trees that hold its rows, its indexes and its virtual tables. A page of one of these
    /// trees that another process has written since makes a difference outdated.
    pub(crate) fn trees(&self, live: &Connection) -> rusqlite::Result<Vec<u32>> {
        let mut roots = live.prepare(
            "SELECT rootpage FROM main.sqlite_schema WHERE tbl_name = ?1 COLLATE NOCASE AND rootpage > 0",
        )?;
        let mut trees = Vec::new();
        for part in &self.parts {
            for root in roots.query_map([part], |row| row.get(0))? {
                trees.push(root?);
            }
        }
        Ok(trees)
    }

    /// Whether rows of the other table can be written into this one, in the same way.
    pub(super) fn is_written_like(&self, other: &Self) -> bool {
        let comparable = |table: &Self| Self {
            indexes: 0,
            columns: table.columns.iter().map(Column::without_indexes).collect(),
            parts: Vec::new(),
            ..table.clone()
        };
        comparable(self) == comparable(other)
    }

    /// The number of values of a row: the key, the columns, the generated ones, and whether each full-text index has
    /// the row.
    pub(super) fn width(&self) -> usize {
        self.key.len() + self.columns.len() + self.generated.len() + self.searches.len()
    }

    /// Reads every row, in the order of the keys.
    pub(super) fn select(&self) -> String {
        let key = self.key.iter().map(|key| &key.name);
        let columns = self.columns.iter().map(|column| &column.name);
        let names = key.chain(columns).chain(&self.generated).map(|name| quoted(name));
        let flags = self.searches.iter().map(Search::has_row);
        let order = self.key.iter().map(|key| match key.descending {
            true => format!("{} DESC", quoted(&key.name)),
            false => quoted(&key.name),
        });
        format!(
            "SELECT {} FROM main.{} ORDER BY {}",
            list(names.chain(flags)),
            quoted(&self.name),
            list(order)
        )
    }

    /// The name that a column has in a difference file. `None` if it is not in there.
    pub(super) fn place_of(&self, name: &str) -> Option<String> {
        let is = |other: &str| other.eq_ignore_ascii_case(name);
        let at = |found: Option<usize>, prefix: &str| found.map(|at| format!("{prefix}{at}"));
        at(self.key.iter().position(|key| is(&key.name)), "k")
            .or_else(|| at(self.columns.iter().position(|column| is(&column.name)), "v"))
            .or_else(|| at(self.generated.iter().position(|name| is(name)), "g"))
    }

    /// The names that the values of a row have in a difference file.
    pub(super) fn places(&self) -> impl Iterator<Item = String> {
        let numbered = |prefix: &'static str, count: usize| (0..count).map(move |at| format!("{prefix}{at}"));
        numbered("k", self.key.len())
            .chain(numbered("v", self.columns.len()))
            .chain(numbered("g", self.generated.len()))
            .chain(numbered("f", self.searches.len()))
    }

    /// `"a" = ?1 AND "b" = ?2`, from the parameter `first` on.
    pub(super) fn where_key(&self, first: usize) -> String {
        let key = self.key.iter().enumerate();
        let terms = key.map(|(at, key)| format!("{} = ?{}", quoted(&key.name), first + at));
        terms.collect::<Vec<_>>().join(" AND ")
    }
}
