//! The foreign keys of a database.

use rusqlite::Connection;

use super::catalog::{Catalog, Entry};
use super::sql::quoted;

/// A foreign key.
#[derive(Clone, Debug)]
pub(super) struct Pointer {
    pub child: String,
    pub from: Vec<String>,
    pub parent: String,
    pub to: Vec<String>,
    /// How the columns of the parent compare values. SQLite compares those of the child in the same way.
    pub ways: Vec<Way>,
}

/// How a column compares values.
#[derive(Clone, Debug)]
pub(super) struct Way {
    /// The declared type, from which SQLite derives the affinity.
    kind: String,
    pub collation: String,
}

impl Way {
    fn of(live: &Connection, table: &Entry, column: &str) -> rusqlite::Result<Self> {
        let (kind, collation, ..) = live.column_metadata(Some("main"), table.name.as_str(), column)?;
        let text = |text: Option<&std::ffi::CStr>| text.map(|text| text.to_string_lossy().into_owned());
        let kind = text(kind).unwrap_or_default();
        // Elsewhere, SQLite takes the name of this type for that of a number.
        let is_any = table.strict && kind.eq_ignore_ascii_case("ANY");
        Ok(Self {
            kind: if is_any { String::new() } else { kind },
            collation: text(collation).unwrap_or_else(|| "BINARY".into()),
        })
    }

    /// The definition of a column that compares values in the same way.
    pub(super) fn column(&self, name: &str) -> String {
        let kind = match self.kind.is_empty() {
            true => String::new(),
            false => quoted(&self.kind),
        };
        format!("{name} {kind} COLLATE {}", quoted(&self.collation))
    }
}

/// The foreign keys of all tables that point to a table that exists.
pub(super) fn pointers(live: &Connection) -> rusqlite::Result<Vec<Pointer>> {
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
                    ways: Vec::new(),
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
    for pointer in &mut pointers {
        if let Some(parent) = catalog.find(&pointer.parent) {
            let ways = pointer
                .to
                .iter()
                .map_while(|column| Way::of(live, parent, column).ok());
            pointer.ways = ways.collect();
        }
    }
    // SQLite cannot follow a pointer to a column that does not exist either.
    pointers.retain(|pointer| pointer.ways.len() == pointer.from.len());
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
pub(super) fn label(live: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let key = primary_key(live, table)?;
    Ok(if key.is_empty() { vec!["rowid".into()] } else { key })
}
