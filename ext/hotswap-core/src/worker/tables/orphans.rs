//! Rows that would point to nothing.
//!
//! Only those count that the change makes. The same statements run with the gates open and within the transaction.
//! They read the rows of the difference, and look up what points to them: if the pointing columns have an index, that
//! takes as long as the difference is large.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::apply::ATTACHED;
use super::catalog::Catalog;
use super::compare::bits_of;
use super::difference::{Difference, Direction};
use super::sql::{list, quoted};
use super::table::Table;
use crate::error::{Context, Result};
use crate::visible;

/// How many rows are shown.
const EXAMPLES: usize = 10;
/// The length of a shown value, in characters.
const VALUE: usize = 40;

/// Rows that would point to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphans {
    /// The table of the rows, and the columns that point.
    pub table: String,
    pub columns: Vec<String>,
    /// The table that they point to.
    pub parent: String,
    pub count: u64,
    /// At most ten rows, each as text: `id 17 (article_id 4)`.
    pub examples: Vec<String>,
}

/// A foreign key.
#[derive(Clone, Debug)]
struct Pointer {
    child: String,
    from: Vec<String>,
    parent: String,
    to: Vec<String>,
}

impl Difference {
    /// The rows that would point to nothing after the change, and did not before. Needs [`attach`](Self::attach). Works
    /// without a transaction, and within it before [`apply`](Self::apply).
    pub(crate) fn orphans(&self, live: &Connection, direction: Direction) -> Result<Vec<Orphans>> {
        let looking = "cannot look for rows that would point to nothing";
        let mut found = Vec::new();
        for pointer in pointers(live).context(looking)? {
            let mut orphans = Orphans {
                table: pointer.child.clone(),
                columns: pointer.from.clone(),
                parent: pointer.parent.clone(),
                count: 0,
                examples: Vec::new(),
            };
            let label = label(live, &pointer.child).context(looking)?;
            for (sql, names) in self.queries(&pointer, &label, direction) {
                collect(live, &sql, &names, &pointer.from, &mut orphans).context(looking)?;
            }
            found.extend((orphans.count > 0).then_some(orphans));
        }
        Ok(found)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.tables
            .iter()
            .position(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// The statements that find the rows, with the names of the columns that identify them.
    fn queries(
        &self,
        pointer: &Pointer,
        label: &[String],
        direction: Direction,
    ) -> Vec<(String, Vec<String>)> {
        let (parent, child) = (self.position(&pointer.parent), self.position(&pointer.child));
        let gone = parent.and_then(|at| self.gone(at, &pointer.to, direction));
        let mut queries = Vec::new();
        if let Some(gone) = &gone {
            queries.push((
                self.staying(pointer, label, gone, child, direction),
                label.to_vec(),
            ));
        }
        if let Some(child) = child {
            let names = self.tables[child]
                .key
                .iter()
                .map(|key| key.name.clone())
                .collect();
            queries.extend(
                self.coming(pointer, child, parent, gone.as_deref(), direction)
                    .map(|sql| (sql, names)),
            );
        }
        queries
    }

    /// The keys that go and do not come again.
    fn gone(&self, at: usize, columns: &[String], direction: Direction) -> Option<String> {
        let (from, to) = direction.sets();
        let places = places(&self.tables[at], columns)?;
        let places = list(places.into_iter());
        Some(format!(
            "SELECT {places} FROM {ATTACHED}.{from}_{at} EXCEPT SELECT {places} FROM {ATTACHED}.{to}_{at}"
        ))
    }

    /// Rows that stay as they are, and point to a key that goes.
    fn staying(
        &self,
        pointer: &Pointer,
        label: &[String],
        gone: &str,
        child: Option<usize>,
        direction: Direction,
    ) -> String {
        let of_child = |name: &String| format!("c.{}", quoted(name));
        let columns = list(pointer.from.iter().map(of_child));
        let but_written = child.map_or(String::new(), |at| {
            let (from, _) = direction.sets();
            let keys = self.tables[at].key.iter().enumerate();
            let same = keys.map(|(nth, key)| format!("w.k{nth} = c.{}", quoted(&key.name)));
            let same = same.collect::<Vec<_>>().join(" AND ");
            format!(" AND NOT EXISTS (SELECT 1 FROM {ATTACHED}.{from}_{at} AS w WHERE {same})")
        });
        format!(
            "SELECT {}, {columns} FROM main.{} AS c WHERE ({columns}) IN ({gone}){but_written}",
            list(label.iter().map(of_child)),
            quoted(&pointer.child)
        )
    }

    /// Rows that come, or change, and point to a key that is not there.
    fn coming(
        &self,
        pointer: &Pointer,
        child: usize,
        parent: Option<usize>,
        gone: Option<&str>,
        direction: Direction,
    ) -> Option<String> {
        let (from, to) = direction.sets();
        let table = &self.tables[child];
        let pointing = places(table, &pointer.from)?;
        let of_row = |place: &String| format!("n.{place}");
        let columns = list(pointing.iter().map(of_row));
        let keys = (0..table.key.len()).map(|at| format!("k{at}"));
        let label = list(keys.clone().map(|key| format!("n.{key}")));
        let not_null = pointing.iter().map(|place| format!("n.{place} NOT NULL"));
        let not_null = not_null.collect::<Vec<_>>().join(" AND ");
        let unchanged = keys
            .map(|key| format!("w.{key} = n.{key}"))
            .chain(pointing.iter().map(|place| format!("w.{place} IS n.{place}")))
            .collect::<Vec<_>>()
            .join(" AND ");
        let there = pointing.iter().zip(&pointer.to);
        let there = there.map(|(place, column)| format!("p.{} = n.{place}", quoted(column)));
        let there = there.collect::<Vec<_>>().join(" AND ");
        let bits = bits_of(&pointer.from, table);
        let mut missing = format!(
            "(n.how IS NULL OR n.how & {bits}) AND NOT EXISTS (SELECT 1 FROM main.{} AS p WHERE {there})
             AND NOT EXISTS (SELECT 1 FROM {ATTACHED}.{from}_{child} AS w WHERE {unchanged})",
            quoted(&pointer.parent)
        );
        if let Some(at) = parent {
            let keys = places(&self.tables[at], &pointer.to)?;
            let complete = keys.iter().map(|place| format!("{place} NOT NULL"));
            let complete = complete.collect::<Vec<_>>().join(" AND ");
            missing += &format!(
                " AND ({columns}) NOT IN (SELECT {} FROM {ATTACHED}.{to}_{at} WHERE {complete})",
                list(keys.into_iter())
            );
        }
        let missing = match gone {
            Some(gone) => format!("({columns}) IN ({gone}) OR ({missing})"),
            None => missing,
        };
        Some(format!(
            "SELECT {label}, {columns} FROM {ATTACHED}.{to}_{child} AS n WHERE {not_null} AND ({missing})"
        ))
    }
}

/// The names of columns in a difference file. `None` if one of them is generated: such a pointer is not followed.
fn places(table: &Table, columns: &[String]) -> Option<Vec<String>> {
    columns.iter().map(|column| table.place_of(column)).collect()
}

/// The foreign keys of all tables.
fn pointers(live: &Connection) -> rusqlite::Result<Vec<Pointer>> {
    let catalog = Catalog::read(live)?;
    let mut pointers = Vec::new();
    for child in catalog.ordinary() {
        let mut query = live.prepare(&format!("PRAGMA main.foreign_key_list({})", quoted(&child.name)))?;
        let mut rows = query.query([])?;
        let mut last = None;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get("id")?;
            let named: String = row.get("table")?;
            let Some(parent) = catalog.find(&named) else {
                continue;
            };
            if last != Some(number) {
                last = Some(number);
                pointers.push(Pointer {
                    child: child.name.clone(),
                    from: Vec::new(),
                    parent: parent.name.clone(),
                    to: Vec::new(),
                });
            }
            let Some(pointer) = pointers.last_mut() else {
                continue;
            };
            pointer.from.push(row.get("from")?);
            pointer.to.extend(row.get::<_, Option<String>>("to")?);
        }
    }
    for pointer in &mut pointers {
        if pointer.to.is_empty() {
            pointer.to = primary_key(live, &pointer.parent)?;
        }
    }
    pointers.retain(|pointer| pointer.to.len() == pointer.from.len());
    Ok(pointers)
}

fn primary_key(live: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut query = live.prepare(&format!("PRAGMA main.table_xinfo({})", quoted(table)))?;
    let columns = query.query_map([], |row| Ok((row.get::<_, i64>("pk")?, row.get("name")?)))?;
    let mut key: Vec<(i64, String)> = columns.collect::<rusqlite::Result<_>>()?;
    key.retain(|(place, _)| *place > 0);
    key.sort();
    Ok(key.into_iter().map(|(_, name)| name).collect())
}

/// The columns that identify a row for the user.
fn label(live: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let key = primary_key(live, table)?;
    Ok(if key.is_empty() { vec!["rowid".into()] } else { key })
}

fn collect(
    live: &Connection,
    sql: &str,
    label: &[String],
    from: &[String],
    orphans: &mut Orphans,
) -> rusqlite::Result<()> {
    let mut query = live.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        orphans.count += 1;
        if orphans.examples.len() < EXAMPLES {
            let own = shown(row, label, 0)?;
            let pointing = shown(row, from, label.len())?;
            orphans.examples.push(format!("{own} ({pointing})"));
        }
    }
    Ok(())
}

/// `id 17`
fn shown(row: &Row<'_>, names: &[String], first: usize) -> rusqlite::Result<String> {
    let mut parts = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let value = match row.get_ref(first + at)? {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => visible::line(text),
            ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
        };
        let value: String = value.chars().take(VALUE).collect();
        parts.push(format!("{} {value}", visible::line(name)));
    }
    Ok(parts.join(", "))
}
