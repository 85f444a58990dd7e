//! The schema of the database that is pulled: its tables, indexes, views and triggers.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::table::{Kind, Table};
use crate::selection::is_of_a_tool;
use crate::worker::schema::definition::Definition;

/// The objects of a database, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub tables: Vec<Table>,
    pub indexes: Vec<Object>,
    pub views: Vec<Object>,
    pub triggers: Vec<Object>,
    /// Whether SQLite keeps statistics of the indexes.
    pub has_statistics: bool,
}

/// An index, a view or a trigger.
#[derive(Debug)]
pub(super) struct Object {
    pub name: String,
    /// The table that it belongs to.
    pub table: String,
    pub sql: String,
}

impl Schema {
    /// Reads the schema in the transaction of `connection`.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut schema = Self::default();
        let mut query = connection.prepare(
            "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql NOT NULL ORDER BY rowid",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (name, table, sql): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let objects = match row.get::<_, String>(0)?.as_str() {
                "table" if name.eq_ignore_ascii_case("sqlite_stat1") => {
                    schema.has_statistics = true;
                    continue;
                }
                // SQLite makes these itself.
                "table" if name.starts_with("sqlite_") => continue,
                "table" => {
                    let kind = Kind::of(&sql);
                    schema.tables.push(Table { name, sql, kind });
                    continue;
                }
                "index" => &mut schema.indexes,
                "view" => &mut schema.views,
                _ => &mut schema.triggers,
            };
            objects.push(Object { name, table, sql });
        }
        schema.find_parts(connection)?;
        Ok(schema)
    }

    /// Finds the tables in which virtual tables keep their content.
    fn find_parts(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // An SQLite before 3.37 reports nothing here.
        let mut query = connection.prepare("PRAGMA main.table_list")?;
        let mut reported = Vec::new();
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            if row.get::<_, String>("type")? == "shadow" {
                reported.push(row.get::<_, String>("name")?);
            }
        }
        let owner = |name: &str| {
            let virtuals = self.tables.iter().filter(|table| table.is_virtual());
            let is_reported = reported.iter().any(|part| part == name);
            let mut owners: Vec<_> = virtuals
                .filter(|table| table.has_part(name, is_reported))
                .collect();
            owners.sort_by_key(|table| table.name.len());
            owners.last().map(|table| table.name.clone())
        };
        let ordinary = self.tables.iter().filter(|table| table.kind == Kind::Ordinary);
        let parts: BTreeMap<String, String> = ordinary
            .filter_map(|table| owner(&table.name).map(|owner| (table.name.clone(), owner)))
            .collect();
        for table in &mut self.tables {
            if let Some(owner) = parts.get(&table.name) {
                table.kind = Kind::Part(owner.clone());
            }
        }
        Ok(())
    }

    /// The tables that a user can name.
    pub(super) fn nameable(&self) -> impl Iterator<Item = &Table> {
        let tables = self.tables.iter();
        tables.filter(|table| !matches!(table.kind, Kind::Part(_)) && !is_of_a_tool(&table.name))
    }

    /// The tables in which the `chosen` full-text tables keep their content.
    pub(super) fn parts_of_full_text<'a>(
        &'a self,
        chosen: impl Fn(&Table) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Table> {
        self.tables.iter().filter(move |part| match &part.kind {
            Kind::Part(owner) => {
                let mut owners = self.tables.iter().filter(|table| table.name == *owner);
                owners.any(|owner| owner.is_full_text() && chosen(owner))
            }
            _ => false,
        })
    }

    /// Whether there is a table or a view of this name.
    pub(super) fn has_rows_of(&self, name: &str) -> bool {
        let tables = self.tables.iter().map(|table| &table.name);
        let mut names = tables.chain(self.views.iter().map(|view| &view.name));
        names.any(|there| there.eq_ignore_ascii_case(name))
    }

    /// The names of the tables in which virtual tables keep their content.
    pub(super) fn parts(&self) -> Vec<String> {
        let parts = self
            .tables
            .iter()
            .filter(|table| matches!(table.kind, Kind::Part(_)));
        parts.map(|table| table.name.clone()).collect()
    }

    /// The tables with a trigger that may write to `table`.
    pub(super) fn fillers<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a str> {
        let writes = |trigger: &&Object| Definition::of(trigger.sql.as_bytes()).mentions(table.as_bytes());
        let triggers = self.triggers.iter().filter(move |trigger| writes(trigger));
        triggers.map(|trigger| trigger.table.as_str())
    }
}
