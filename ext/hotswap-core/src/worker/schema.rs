//! Schemas, compared by what they mean and shown as they were written.
//!
//! The text of `sqlite_schema` is read, never `table_xinfo`: one virtual table whose module is missing would
//! fail the whole query.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::sql::meaning;

/// The objects of a database that its application's code depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    objects: BTreeMap<Key, Object>,
}

/// What an object is called: its kind and its name, as SQLite compares them.
type Key = (String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    written: String,
    meaning: Vec<String>,
}

impl Schema {
    /// Reads the schema of an open database.
    pub fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut query =
            connection.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(Self::from_rows(
            rows.collect::<rusqlite::Result<Vec<(String, String, String)>>>()?,
        ))
    }

    fn from_rows(rows: Vec<(String, String, String)>) -> Self {
        let modules: Vec<(String, String)> = rows
            .iter()
            .filter_map(|(_, name, sql)| Some((name.to_lowercase(), module(sql)?)))
            .collect();
        let objects = rows
            .into_iter()
            .filter(|(_, name, _)| !is_internal(&name.to_lowercase(), &modules))
            .map(|(kind, name, sql)| {
                let object = Object {
                    meaning: meaning(&sql),
                    written: sql,
                };
                ((kind, name.to_lowercase()), object)
            })
            .collect();
        Self { objects }
    }

    /// The lines that tell two schemas apart: `- ` what only `self` has, `+ ` what only `incoming` has.
    pub fn difference(&self, incoming: &Schema) -> Vec<String> {
        let missing = self
            .without(incoming)
            .map(|object| format!("- {}", object.written));
        let additional = incoming
            .without(self)
            .map(|object| format!("+ {}", object.written));
        missing.chain(additional).collect()
    }

    fn without<'a>(&'a self, other: &'a Schema) -> impl Iterator<Item = &'a Object> {
        let same = |key: &Key, object: &Object| {
            other
                .objects
                .get(key)
                .is_some_and(|there| there.meaning == object.meaning)
        };
        self.objects
            .iter()
            .filter(move |(key, object)| !same(key, object))
            .map(|(_, object)| object)
    }

    /// Whether two databases mean the same to the application.
    pub fn means_the_same_as(&self, other: &Schema) -> bool {
        self.difference(other).is_empty()
    }
}

/// The module of a virtual table.
fn module(sql: &str) -> Option<String> {
    let words = meaning(sql);
    let using = words.iter().position(|word| word == "using")?;
    (words.get(1).map(String::as_str) == Some("virtual"))
        .then(|| words.get(using + 1).cloned())
        .flatten()
}

/// What SQLite, a replication tool or a virtual table keeps for itself.
fn is_internal(name: &str, modules: &[(String, String)]) -> bool {
    name.starts_with("sqlite_")
        || name.starts_with("_litestream_")
        || modules.iter().any(|(table, module)| {
            name.strip_prefix(table.as_str())
                .and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|shadow| is_shadow(module, shadow))
        })
}

/// Whether a virtual table of this module keeps a table of this name. A module that is not known here owns
/// every name that begins with its table's.
fn is_shadow(module: &str, suffix: &str) -> bool {
    match module {
        "fts5" => ["data", "idx", "content", "docsize", "config"].contains(&suffix),
        "fts3" | "fts4" => ["content", "segments", "segdir", "docsize", "stat"].contains(&suffix),
        "rtree" | "rtree_i32" | "geopoly" => ["node", "rowid", "parent"].contains(&suffix),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(statements: &[(&str, &str, &str)]) -> Schema {
        Schema::from_rows(
            statements
                .iter()
                .map(|(k, n, s)| (k.to_string(), n.to_string(), s.to_string()))
                .collect(),
        )
    }

    const ITEMS: &str = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)";

    #[test]
    fn spelling_does_not_matter() {
        let live = schema(&[("table", "items", ITEMS)]);
        for same in [
            "CREATE TABLE items(id integer primary key,name text)",
            "CREATE TABLE \"items\" (\n  \"id\" INTEGER PRIMARY KEY, -- the key\n  [name] TEXT\n)",
            "CREATE TABLE `Items` (ID INTEGER PRIMARY KEY, /* of it */ Name TEXT)",
        ] {
            assert!(
                live.means_the_same_as(&schema(&[("table", "items", same)])),
                "{same}"
            );
        }
    }

    #[test]
    fn a_change_is_shown_from_both_sides_as_written() {
        let live = schema(&[("table", "items", ITEMS)]);
        let products = "CREATE TABLE products (id INTEGER PRIMARY KEY, title TEXT, price REAL)";
        let incoming = schema(&[("table", "products", products)]);
        assert_eq!(
            live.difference(&incoming),
            [format!("- {ITEMS}"), format!("+ {products}")]
        );
    }

    #[test]
    fn every_kind_of_change_is_noticed() {
        let index = "CREATE INDEX by_name ON items (name)";
        let live = schema(&[("table", "items", ITEMS), ("index", "by_name", index)]);
        for (kind, name, changed) in [
            (
                "table",
                "items",
                "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
            ),
            (
                "table",
                "items",
                "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT DEFAULT 'A')",
            ),
            (
                "table",
                "items",
                "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE)",
            ),
            ("index", "by_name", "CREATE UNIQUE INDEX by_name ON items (name)"),
            (
                "index",
                "by_name",
                "CREATE INDEX by_name ON items (name) WHERE id > 5",
            ),
            ("view", "names", "CREATE VIEW names AS SELECT name FROM items"),
            (
                "trigger",
                "log",
                "CREATE TRIGGER log AFTER INSERT ON items BEGIN SELECT 1; END",
            ),
        ] {
            let mut rows = vec![("table", "items", ITEMS), ("index", "by_name", index)];
            rows.retain(|row| row.1 != name);
            rows.push((kind, name, changed));
            assert!(!live.means_the_same_as(&schema(&rows)), "{changed}");
        }
    }

    #[test]
    fn letters_in_a_string_keep_their_case() {
        let live = schema(&[("table", "t", "CREATE TABLE t (a TEXT DEFAULT 'Yes')")]);
        assert!(!live.means_the_same_as(&schema(&[(
            "table",
            "t",
            "CREATE TABLE t (a TEXT DEFAULT 'yes')"
        )])));
    }

    #[test]
    fn what_tools_keep_for_themselves_does_not_count() {
        let live = schema(&[("table", "items", ITEMS)]);
        let grown = schema(&[
            ("table", "items", ITEMS),
            ("table", "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
            (
                "table",
                "_litestream_seq",
                "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER)",
            ),
        ]);
        assert!(live.means_the_same_as(&grown));
    }

    #[test]
    fn shadow_tables_do_not_count_and_neighbours_by_name_do() {
        let search = ("table", "search", "CREATE VIRTUAL TABLE search USING fts5(body)");
        let live = schema(&[search]);
        let data = (
            "table",
            "search_data",
            "CREATE TABLE 'search_data'(id INTEGER PRIMARY KEY, block BLOB)",
        );
        assert!(live.means_the_same_as(&schema(&[search, data])));
        let log = ("table", "search_log", "CREATE TABLE search_log (query TEXT)");
        assert!(!live.means_the_same_as(&schema(&[search, log])));
    }
}
