//! Whether a difference that was kept can be applied, and in which direction: from the old rows to the new ones, or
//! back.

use rusqlite::Connection;

use super::apply::ATTACHED;
use super::catalog::Catalog;
use super::cursor::Cursor;
use super::describe::describe;
use super::difference::{Difference, Direction};
use super::sql::{list, quoted};
use super::table::Table;
use crate::error::{Context, Result};

/// How a difference fits the rows of the live database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It can be applied in this direction.
    Applies(Direction),
    /// This table is not the one that the difference was made for: it is gone, or has other columns or keys.
    OtherSchema(String),
    /// Rows of these tables were changed since, so many.
    Changed(Vec<(String, u64)>),
}

impl Difference {
    /// In which direction it can be applied. Needs [`attach`](Self::attach). Within the transaction, the answer stays
    /// true.
    pub(crate) fn direction(&self, live: &Connection) -> Result<Fit> {
        if let Some(table) = self.other_schema(live)? {
            return Ok(Fit::OtherSchema(table));
        }
        let looking = "cannot compare the live rows with the difference";
        let (mut unlike_old, mut unlike_new) = (Vec::new(), Vec::new());
        for (at, table) in self.tables.iter().enumerate() {
            let (old, new) = unlike(live, at, table).context(looking)?;
            unlike_old.push((table.name.clone(), old));
            unlike_new.push((table.name.clone(), new));
        }
        let sum = |counts: &[(String, u64)]| counts.iter().map(|(_, count)| count).sum::<u64>();
        let mut changed = match (sum(&unlike_old), sum(&unlike_new)) {
            (0, _) => return Ok(Fit::Applies(Direction::Forward)),
            (_, 0) => return Ok(Fit::Applies(Direction::Back)),
            (old, new) if old < new => unlike_old,
            _ => unlike_new,
        };
        changed.retain(|(_, count)| *count > 0);
        Ok(Fit::Changed(changed))
    }

    /// The first table that is not as it was.
    pub(crate) fn other_schema(&self, live: &Connection) -> Result<Option<String>> {
        let catalog = Catalog::read(live).context("cannot read the schema of the live database")?;
        for table in &self.tables {
            let now = match catalog.find(&table.name) {
                Some(entry) => describe(live, &catalog, entry).ok(),
                None => None,
            };
            if !now.is_some_and(|now| now.is_written_like(table)) {
                return Ok(Some(table.name.clone()));
            }
        }
        Ok(None)
    }
}

/// How many rows are not as they were before the change, and how many are not as they were after it.
fn unlike(live: &Connection, at: usize, table: &Table) -> rusqlite::Result<(u64, u64)> {
    let width = table.key.len() + table.columns.len();
    let places = |of: &str| {
        let places = table.places().take(width);
        list(places.map(|place| format!("{of}.{place}")))
    };
    let names = table.key.iter().map(|key| &key.name);
    let names = names.chain(table.columns.iter().map(|column| &column.name));
    let own = list(names.map(|name| format!("t.{}", quoted(name))));
    let same = |one: &str, other: &str| {
        let keys = (0..table.key.len()).map(|key| format!("{one}.k{key} = {other}.k{key}"));
        keys.collect::<Vec<_>>().join(" AND ")
    };
    let on = |of: &str| {
        let keys = table.key.iter().enumerate();
        let terms = keys.map(|(at, key)| format!("t.{} = {of}.k{at}", quoted(&key.name)));
        terms.collect::<Vec<_>>().join(" AND ")
    };
    let (old, new) = (format!("{ATTACHED}.old_{at}"), format!("{ATTACHED}.new_{at}"));
    let name = quoted(&table.name);
    let before = format!(
        "SELECT {own}, {}, {} FROM {old} AS o LEFT JOIN {new} AS n ON {} LEFT JOIN main.{name} AS t ON {}",
        places("o"),
        places("n"),
        same("n", "o"),
        on("o")
    );
    let added = format!(
        "SELECT {own}, {} FROM {new} AS n LEFT JOIN main.{name} AS t ON {}
         WHERE NOT EXISTS (SELECT 1 FROM {old} AS o WHERE {})",
        places("n"),
        on("n"),
        same("o", "n")
    );
    let (mut unlike_old, mut unlike_new) = (0, 0);
    let is = |rows: &Cursor<'_>, set: usize| (0..width).all(|at| rows.is_same(at, rows, set * width + at));
    let mut rows = Cursor::prepare(live, &before)?;
    while rows.step()? {
        unlike_old += u64::from(!is(&rows, 1));
        // A row that is not there has NULL everywhere, like one that went.
        unlike_new += u64::from(!is(&rows, 2));
    }
    let mut rows = Cursor::prepare(live, &added)?;
    while rows.step()? {
        unlike_old += u64::from(!rows.is_null(0));
        unlike_new += u64::from(!is(&rows, 1));
    }
    Ok((unlike_old, unlike_new))
}
