//! Pairs of databases, of which one becomes like the other and back.

mod directions;
mod orphans;
mod refusals;
mod there_and_back;
mod virtual_tables;

use std::path::PathBuf;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{params_from_iter, Connection};

use super::*;
use crate::error::{Error, Result};
use crate::worker::disk::staged::Staged;
use crate::worker::sqlite::system::adopt_the_systems_sqlite;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = match self.below(12) {
            0 => self.below(9000),
            _ => self.below(4),
        };
        (0..length)
            .map(|_| b"aAbB \0\xff\xc3\xa9z"[self.below(10) as usize])
            .collect()
    }

    fn text(&mut self) -> Value {
        let text = String::from_utf8_lossy(&self.bytes()).into_owned();
        Value::Text(text)
    }

    fn value(&mut self) -> Value {
        match self.below(7) {
            0 => Value::Null,
            1 => Value::Real(self.below(8) as f64 / 2.0),
            2 => Value::Blob(self.bytes()),
            3 | 4 => self.text(),
            _ => Value::Integer(self.below(12) as i64),
        }
    }
}

struct Bytes(Vec<u8>);

impl rusqlite::ToSql for Bytes {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

/// A live database and a file next to it.
struct Pair {
    folder: tempfile::TempDir,
    live: Connection,
    file: Connection,
}

impl Pair {
    fn new(of_live: &str, of_file: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let open = |name: &str, setting: &str| {
            let connection = Connection::open(folder.path().join(name)).unwrap();
            connection.execute_batch(setting).unwrap();
            connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
            connection
        };
        let (live, file) = (open("live", of_live), open("file", of_file));
        live.execute_batch("PRAGMA foreign_keys = ON").unwrap();
        Self { folder, live, file }
    }

    fn both(&self, sql: &str) {
        self.live.execute_batch(sql).unwrap();
        self.file.execute_batch(sql).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("live")
    }

    fn choose(&self, only: &[&str]) -> Result<Vec<Table>> {
        let select = |all: &[String], _: &[String]| {
            let only = all
                .iter()
                .filter(|table| only.is_empty() || only.contains(&table.as_str()));
            Ok(only.cloned().collect())
        };
        choose(select, &self.live, &self.file, "file", "primary")
    }

    fn find(&self, only: &[&str]) -> Result<Difference> {
        let tables = self.choose(only)?;
        let staged = Staged::create(&self.path())?;
        self.live.execute_batch("BEGIN").unwrap();
        let found = Difference::find(&self.live, &self.file, &tables, staged, |_, _| Ok(()));
        self.live.execute_batch("COMMIT").unwrap();
        found
    }

    fn apply(&self, difference: &Difference, direction: Direction) {
        difference.attach(&self.live).unwrap();
        self.live.execute_batch("BEGIN IMMEDIATE").unwrap();
        difference.apply(&self.live, direction, |_| Ok(())).unwrap();
        self.live.execute_batch("COMMIT").unwrap();
        difference.detach(&self.live).unwrap();
        self.live
            .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)
            .unwrap();
        self.live
            .execute_batch("PRAGMA ignore_check_constraints = OFF")
            .unwrap();
    }
}

/// Every value of a table, with its type and its bytes.
fn rows(connection: &Connection, table: &str, columns: &str) -> Vec<String> {
    let names: Vec<_> = columns.split(", ").collect();
    let shown = names
        .iter()
        .map(|name| format!("typeof({name}) || ' ' || hex(CAST({name} AS BLOB))"));
    let shown = shown.collect::<Vec<_>>().join(" || ',' || ");
    let mut query = connection
        .prepare(&format!("SELECT {shown} FROM {table}"))
        .unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    let mut rows: Vec<String> = rows.collect::<rusqlite::Result<_>>().unwrap();
    rows.sort();
    rows
}

/// All columns of a table, and its rowid if rows are compared by it.
fn columns(connection: &Connection, table: &Table) -> String {
    let mut query = connection
        .prepare(&format!(
            "SELECT name FROM pragma_table_xinfo('{}') WHERE hidden <> 1",
            table.name()
        ))
        .unwrap();
    let names = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut names: Vec<String> = names.map(|name| format!("\"{}\"", name.unwrap())).collect();
    if table.by_rowid {
        names.push(table.key[0].name.clone());
    }
    names.join(", ")
}

fn is_sound(connection: &Connection) {
    let mut check = connection.prepare("PRAGMA integrity_check").unwrap();
    let found = check.query_map([], |row| row.get(0)).unwrap();
    let found: Vec<String> = found.collect::<rusqlite::Result<_>>().unwrap();
    let schema = "SELECT group_concat(sql) FROM sqlite_schema";
    let schema: String = connection.query_row(schema, [], |row| row.get(0)).unwrap();
    assert_eq!(found, ["ok"], "{schema}");
}

/// Copies rows, with their bytes, between databases of any encoding.
fn pour(from: &Connection, source: &str, into: &Connection, target: &str, columns: &str) {
    let width = columns.split(", ").count();
    let insert = format!(
        "INSERT INTO {target} ({columns}) VALUES ({})",
        sql::parameters(width)
    );
    let mut rows = cursor::Cursor::prepare(from, &format!("SELECT {columns} FROM {source}")).unwrap();
    let mut insert = cursor::Cursor::prepare(into, &insert).unwrap();
    while rows.step().unwrap() {
        for at in 0..width {
            insert.bind(at + 1, &rows, at).unwrap();
        }
        insert.run().unwrap();
    }
}

/// The rows of the file's table as the live database would store them.
fn wanted(pair: &Pair, table: &str, columns: &str) -> Vec<String> {
    let encoding: String = pair
        .live
        .query_row("PRAGMA encoding", [], |row| row.get(0))
        .unwrap();
    let same = Connection::open_in_memory().unwrap();
    let names = (0..columns.split(", ").count()).map(|at| format!("c{at}"));
    let names = names.collect::<Vec<_>>().join(", ");
    same.execute_batch(&format!(
        "PRAGMA encoding = '{encoding}'; CREATE TABLE x ({names})"
    ))
    .unwrap();
    let source = format!("(SELECT {} FROM {table})", {
        let numbered = columns.split(", ").enumerate();
        let numbered = numbered.map(|(at, column)| format!("{column} AS c{at}"));
        numbered.collect::<Vec<_>>().join(", ")
    });
    pour(&pair.file, &source, &same, "x", &names);
    rows(&same, "x", &names)
}
