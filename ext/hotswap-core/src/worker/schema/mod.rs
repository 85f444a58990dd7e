//! The schema of a database: what the application's code depends on.
//!
//! Statements are read from `sqlite_schema` as bytes. A name may consist of any bytes, and where the module of a
//! virtual table is missing, the statement is the only source.

pub(super) mod definition;
pub(super) mod mismatch;
#[cfg(test)]
mod mutations;
pub(super) mod object;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use definition::Definition;
use mismatch::{Mismatch, Pair};
use object::{Key, Kind, Object};

/// Tables that appear and disappear without the application: those of SQLite itself, of Litestream, and of the
/// litestream gem, whose `verify!` creates one. Only tables with exactly these columns count.
const OF_TOOLS: [(&str, &str); 7] = [
    ("sqlite_sequence", "CREATE TABLE t (name, seq)"),
    ("sqlite_stat1", "CREATE TABLE t (tbl, idx, stat)"),
    (
        "sqlite_stat3",
        "CREATE TABLE t (tbl, idx, neq, nlt, ndlt, sample)",
    ),
    (
        "sqlite_stat4",
        "CREATE TABLE t (tbl, idx, neq, nlt, ndlt, sample)",
    ),
    (
        "_litestream_seq",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, seq INTEGER)",
    ),
    ("_litestream_lock", "CREATE TABLE t (id INTEGER)"),
    (
        "_litestream_verification",
        "CREATE TABLE t (id INTEGER PRIMARY KEY, uuid BLOB)",
    ),
];

/// Active Record's own tables. Their rows do not belong to the application.
const OF_ACTIVE_RECORD: [&str; 2] = ["schema_migrations", "ar_internal_metadata"];

/// The objects of a database, as `sqlite_schema` defines them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schema {
    objects: BTreeMap<Key, Object>,
    /// The number that SQLite increments with each change of the schema.
    version: u32,
}

impl Schema {
    /// Reads the schema of an open database.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        // Read before the statements. If the schema changes in between, this number is too old, and the next
        // comparison reads the statements again.
        let version = version(connection)?;
        let mut objects = BTreeMap::new();
        let mut query = connection.prepare(
            "SELECT CAST(type AS TEXT), CAST(name AS TEXT), CAST(sql AS TEXT) FROM sqlite_schema WHERE sql NOT NULL",
        )?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let text = |column| -> rusqlite::Result<Vec<u8>> {
                Ok(row
                    .get_ref(column)?
                    .as_bytes_or_null()?
                    .unwrap_or_default()
                    .to_vec())
            };
            let (kind, name, sql) = (text(0)?, text(1)?, text(2)?);
            let definition = Definition::of(&sql);
            objects.insert(
                (Kind::of(&kind), name.clone()),
                Object {
                    name,
                    sql,
                    definition,
                },
            );
        }
        let shadows = shadow_tables(connection)?;
        objects.retain(|(kind, name), object| {
            *kind != Kind::Table || !(shadows.contains(name) || is_of_a_tool(name, &object.definition))
        });
        Ok(Self { objects, version })
    }

    /// Whether the schema has no objects.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The difference between this schema and the incoming one. `None` if they mean the same.
    pub(super) fn mismatch<'a>(&'a self, incoming: &'a Schema) -> Option<Mismatch<'a>> {
        self.mismatch_where(incoming, |_, _| true)
    }

    /// The difference between these tables, with their indexes.
    pub(super) fn mismatch_of_tables<'a>(
        &'a self,
        incoming: &'a Schema,
        tables: &[&[u8]],
    ) -> Option<Mismatch<'a>> {
        self.mismatch_where(incoming, |(kind, name), object| {
            tables.iter().any(|table| match kind {
                Kind::Table => name.eq_ignore_ascii_case(table),
                Kind::Index => object.definition.is_index_on(table),
                _ => false,
            })
        })
    }

    fn mismatch_where<'a>(
        &'a self,
        incoming: &'a Schema,
        counts: impl Fn(&Key, &Object) -> bool,
    ) -> Option<Mismatch<'a>> {
        let objects = self.objects.iter().chain(&incoming.objects);
        let keys = objects.filter(|(key, object)| counts(key, object));
        let keys: BTreeSet<_> = keys.map(|(key, _)| key).collect();
        let pairs =
            keys.into_iter()
                .filter_map(|key| match (self.objects.get(key), incoming.objects.get(key)) {
                    (Some(here), Some(there)) if self.is_equal(incoming, key, here, there) => None,
                    (live, incoming) => Some(Pair { live, incoming }),
                });
        let pairs: Vec<_> = pairs.collect();
        (!pairs.is_empty()).then(|| Mismatch::new(pairs))
    }

    fn is_equal(&self, incoming: &Schema, key: &Key, here: &Object, there: &Object) -> bool {
        match (&here.definition, &there.definition) {
            (Definition::Table(here), Definition::Table(there)) if here != there => {
                let any_order = self.names_the_columns_of(&key.1) && incoming.names_the_columns_of(&key.1);
                any_order && here.in_any_order() == there.in_any_order()
            }
            (here, there) => here == there,
        }
    }

    /// Whether the users of this table name its columns. Active Record does; a view or a trigger may not.
    ///
    /// The first releases of Rails 8.1 sort the columns in schema.rb, so loaded tables have another column order
    /// than migrated ones.
    fn names_the_columns_of(&self, table: &[u8]) -> bool {
        self.is_of_active_record()
            && !self.objects.iter().any(|((kind, _), object)| {
                matches!(kind, Kind::View | Kind::Trigger) && object.definition.mentions(table)
            })
    }

    /// Whether Active Record manages the schema.
    pub(super) fn is_of_active_record(&self) -> bool {
        let mut tables = OF_ACTIVE_RECORD.iter();
        tables.all(|table| {
            self.objects
                .contains_key(&(Kind::Table, table.as_bytes().to_vec()))
        })
    }

    /// Whether every statement is the same, byte by byte.
    pub(super) fn is_written_like<'a>(&'a self, other: &'a Schema) -> bool {
        let statements = |schema: &'a Schema| schema.objects.iter().map(|(key, object)| (key, &object.sql));
        statements(self).eq(statements(other))
    }

    /// Whether the database of this connection still has this schema.
    pub(super) fn is_still_that_of(&self, connection: &Connection) -> rusqlite::Result<bool> {
        // The number changes with ANALYZE and VACUUM, too.
        Ok(version(connection)? == self.version || Self::read(connection)?.is_written_like(self))
    }

    /// The tables whose rows belong to the application, including virtual tables.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Object> {
        let objects = self.objects.iter().filter(|((kind, name), _)| {
            *kind == Kind::Table && !OF_ACTIVE_RECORD.iter().any(|table| table.as_bytes() == name)
        });
        objects.map(|(_, object)| object)
    }

    /// Whether all statements are valid UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        self.objects
            .values()
            .all(|object| std::str::from_utf8(&object.sql).is_ok())
    }
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    // SQLite returns it as a signed number.
    connection.query_row(
        "PRAGMA schema_version",
        [],
        |row| Ok(row.get::<_, i32>(0)? as u32),
    )
}

/// Whether the table belongs to one of these tools: its name and all its columns match.
pub(super) fn is_of_a_tool(name: &[u8], definition: &Definition) -> bool {
    let tool = OF_TOOLS.iter().find(|(table, _)| table.as_bytes() == name);
    tool.is_some_and(|(_, sql)| Definition::of(sql.as_bytes()) == *definition)
}

/// The tables in which virtual tables keep their content, as far as SQLite reports them. An SQLite before 3.37 does
/// not report them, nor does one that lacks the module; then they count as ordinary tables.
fn shadow_tables(connection: &Connection) -> rusqlite::Result<BTreeSet<Vec<u8>>> {
    let mut query = connection.prepare("PRAGMA main.table_list")?;
    let mut rows = query.query([])?;
    let mut shadows = BTreeSet::new();
    while let Some(row) = rows.next()? {
        if row.get_ref("type")?.as_bytes()? == b"shadow" {
            shadows.insert(row.get_ref("name")?.as_bytes()?.to_vec());
        }
    }
    Ok(shadows)
}
