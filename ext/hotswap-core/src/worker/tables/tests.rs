//! Applies differences between random tables of every kind, and undoes them.

use std::path::PathBuf;

use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{params_from_iter, Connection};

use super::*;
use crate::error::{Error, Result};
use crate::worker::disk::staged::Staged;
use crate::worker::sqlite::system::adopt_the_systems_sqlite;

/// Each with two columns or more. Generated columns come last.
const KINDS: [&str; 17] = [
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b)",
    "CREATE TABLE t (a, b, id INTEGER PRIMARY KEY AUTOINCREMENT)",
    "CREATE TABLE t (a, b)",
    "CREATE TABLE t (rowid, _rowid_, b)",
    "CREATE TABLE t (k TEXT PRIMARY KEY, a, b) WITHOUT ROWID",
    "CREATE TABLE t (k TEXT COLLATE NOCASE, l INTEGER, a, b, PRIMARY KEY (l DESC, k)) WITHOUT ROWID",
    "CREATE TABLE t (k TEXT COLLATE RTRIM NOT NULL, l BLOB NOT NULL, a, PRIMARY KEY (k, l))",
    "CREATE TABLE t (k TEXT PRIMARY KEY, a, b)",
    "CREATE TABLE t (k NOT NULL PRIMARY KEY, a TEXT, b REAL)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT UNIQUE, b INTEGER UNIQUE)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a ANY, b ANY) STRICT",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE INDEX ta ON t (a); CREATE INDEX tb ON t (b, a)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX ta ON t (a) WHERE b > 2; CREATE INDEX tb ON t (a || b)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); CREATE UNIQUE INDEX ta ON t (lower(a), b)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b UNIQUE ON CONFLICT REPLACE)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c AS (a || b), d AS (length(a)) STORED); CREATE INDEX tc ON t (c, d)",
    "CREATE TABLE t (id INTEGER PRIMARY KEY DESC, a, b, CHECK (a IS NULL OR b IS NULL OR 1))",
];

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

/// A live database and a file beside it.
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

/// Inserts random rows; those that a constraint refuses stay out.
fn fill(connection: &Connection, table: &str, random: &mut Random, count: u64, mixed: bool) {
    let mut query = connection
        .prepare(&format!(
            "SELECT name, type FROM pragma_table_xinfo('{table}') WHERE hidden = 0"
        ))
        .unwrap();
    let columns = query
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .unwrap();
    let columns: Vec<_> = columns.collect::<rusqlite::Result<_>>().unwrap();
    let names = columns
        .iter()
        .map(|(name, _)| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let places = vec!["?"; columns.len()].join(", ");
    let encoding: String = connection
        .query_row("PRAGMA encoding", [], |row| row.get(0))
        .unwrap();
    let is_utf8 = encoding == "UTF-8" && !mixed;
    let insert = format!("INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})");
    for _ in 0..count {
        let values = columns.iter().map(|(_, kind)| match kind.as_str() {
            "INTEGER" => Value::Integer(random.below(60) as i64),
            "TEXT" => random.text(),
            _ => random.value(),
        });
        let values: Vec<_> = values.collect();
        // A text that is not valid UTF-8. Converted, two of them may be the same.
        let invalid = random.below(5) == 0 && is_utf8;
        let mut statement = connection.prepare(&insert).unwrap();
        for (at, value) in values.into_iter().enumerate() {
            match value {
                Value::Text(_) if invalid => statement.raw_bind_parameter(at + 1, Bytes(random.bytes())),
                value => statement.raw_bind_parameter(at + 1, value),
            }
            .unwrap();
        }
        statement.raw_execute().unwrap();
    }
}

/// Changes, removes and exchanges some rows.
fn change(connection: &Connection, table: &str, random: &mut Random) {
    let mut query = connection
        .prepare(&format!(
            "SELECT name FROM pragma_table_xinfo('{table}') WHERE hidden = 0"
        ))
        .unwrap();
    let names = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let names: Vec<_> = names.collect::<rusqlite::Result<_>>().unwrap();
    for _ in 0..random.below(20) {
        let column = &names[random.below(names.len() as u64) as usize];
        let (skip, value) = (random.below(40), random.value());
        let row = format!("(SELECT {column} FROM {table} LIMIT 1 OFFSET {skip})");
        let _ = match random.below(3) {
            0 => connection.execute(&format!("DELETE FROM {table} WHERE \"{column}\" IS {row}"), []),
            _ => connection.execute(
                &format!("UPDATE OR IGNORE {table} SET \"{column}\" = ?1 WHERE \"{column}\" IS {row}"),
                params_from_iter([value]),
            ),
        };
    }
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

/// Fills the file's table with the rows of the live one.
fn copy(pair: &Pair, table: &Table) {
    let mut query = pair
        .file
        .prepare("SELECT name FROM pragma_table_xinfo('t') WHERE hidden = 0")
        .unwrap();
    let names = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut names: Vec<String> = names.map(|name| format!("\"{}\"", name.unwrap())).collect();
    let key = &table.key[0].name;
    if ["rowid", "oid"].contains(&key.as_str()) && !names.contains(&format!("\"{key}\"")) {
        names.push(key.clone());
    }
    pour(&pair.live, "t", &pair.file, "t", &names.join(", "));
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

fn there_and_back(pair: &Pair, kind: &str) {
    let tables = pair.choose(&["t"]).unwrap();
    let table = &tables[0];
    let columns = columns(&pair.live, table);
    let all = |connection: &Connection| rows(connection, "t", &columns);
    let others = || rows(&pair.live, "users", "id, name");
    let (before, kept) = (all(&pair.live), others());
    is_sound(&pair.live);
    is_sound(&pair.file);
    let wanted = wanted(pair, "t", &columns);
    let difference = pair.find(&["t"]).unwrap();
    let counts = difference.counts()[0].clone();
    assert_eq!(difference.is_empty(), before == wanted, "{kind}");
    assert_eq!(
        counts.removed + counts.changed + counts.kept,
        before.len() as u64,
        "{kind}"
    );
    assert_eq!(
        counts.added + counts.changed + counts.kept,
        wanted.len() as u64,
        "{kind}"
    );
    pair.apply(&difference, Direction::Forward);
    assert!(all(&pair.live) == wanted, "{kind}");
    assert_eq!(others(), kept);
    is_sound(&pair.live);
    // A second comparison finds nothing.
    assert!(pair.find(&["t"]).unwrap().is_empty(), "{kind}");
    let staged = difference.into_staged();
    let difference = Difference::open(staged).unwrap();
    assert_eq!(difference.counts()[0], counts);
    pair.apply(&difference, Direction::Back);
    assert!(all(&pair.live) == before, "{kind}");
    is_sound(&pair.live);
}

#[test]
fn random_tables_go_there_and_back() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for round in 0..3 {
        for (nth, kind) in KINDS.iter().enumerate() {
            let mut random = Random(1 + round * 100 + nth as u64);
            let settings = [
                "PRAGMA encoding = 'UTF-16le'",
                "PRAGMA encoding = 'UTF-16be'; PRAGMA journal_mode = WAL",
                "",
                "",
                "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL",
                "PRAGMA page_size = 65536",
            ];
            // SQLite itself loses rows of an index on a blob that it takes for UTF-16.
            let without_utf16 = if kind.contains("||") || kind.contains("lower") {
                2
            } else {
                0
            };
            let mut setting = || settings[without_utf16 + random.below(6 - without_utf16 as u64) as usize];
            let pair = Pair::new(setting(), setting());
            pair.both(kind);
            pair.both("CREATE TABLE users (id INTEGER PRIMARY KEY, name); CREATE TRIGGER tt AFTER DELETE ON t BEGIN DELETE FROM users; END");
            let mixed = recoded::is_needed(&pair.live, &pair.file).unwrap();
            fill(&pair.live, "users", &mut random, 10, mixed);
            fill(&pair.live, "t", &mut random, 60, mixed);
            if round % 2 == 0 {
                copy(&pair, &pair.choose(&["t"]).unwrap()[0]);
                change(&pair.file, "t", &mut random);
            }
            fill(&pair.file, "t", &mut random, 10 + round * 20, mixed);
            there_and_back(&pair, kind);
        }
    }
}

#[test]
fn unique_values_can_be_exchanged() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let pair = Pair::new("", "");
    pair.both("CREATE TABLE t (id INTEGER PRIMARY KEY, slug UNIQUE, body); CREATE TABLE users (id, name)");
    pair.live
        .execute_batch("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)")
        .unwrap();
    pair.file
        .execute_batch("INSERT INTO t VALUES (1, 'b', 1), (2, 'c', 2), (3, 'a', 4)")
        .unwrap();
    there_and_back(&pair, "unique");
}

#[test]
fn a_sequence_keeps_the_higher_number() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for (live, file, highest) in [(90, 40, 90), (40, 90, 90)] {
        let pair = Pair::new("", "");
        pair.both("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE u (id INTEGER PRIMARY KEY AUTOINCREMENT)");
        let fill = |connection: &Connection, number: i64| {
            connection
                .execute_batch(&format!(
                    "INSERT INTO t VALUES ({number}, 1); DELETE FROM t; INSERT INTO t VALUES (1, {number})"
                ))
                .unwrap();
        };
        fill(&pair.live, live);
        fill(&pair.file, file);
        let difference = pair.find(&["t"]).unwrap();
        for direction in [Direction::Forward, Direction::Back] {
            pair.apply(&difference, direction);
            let sequence = "SELECT seq FROM sqlite_sequence WHERE name = 't'";
            let number: i64 = pair.live.query_row(sequence, [], |row| row.get(0)).unwrap();
            assert_eq!(number, highest);
        }
    }
}

/// The rows that a push of these tables would leave pointing to nothing: how many, and the first example.
fn orphans(live: &str, file: &str, only: &[&str]) -> Vec<(String, u64, String)> {
    orphans_of(ARTICLES, live, file, only)
}

const ARTICLES: &str =
    "CREATE TABLE articles (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, parent REFERENCES articles, body);
         CREATE TABLE comments (id INTEGER PRIMARY KEY, article_id INTEGER REFERENCES articles (id), body);
         CREATE INDEX by_article ON comments (article_id);
         CREATE TABLE links (slug REFERENCES articles (slug), note);
         CREATE TABLE pairs (a, b, PRIMARY KEY (a, b));
         CREATE TABLE of_pairs (k TEXT PRIMARY KEY, x, y, FOREIGN KEY (x, y) REFERENCES pairs);
         CREATE TABLE lost (a REFERENCES never)";

fn orphans_of(schema: &str, live: &str, file: &str, only: &[&str]) -> Vec<(String, u64, String)> {
    let pair = Pair::new("", "");
    pair.live.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    pair.both(schema);
    pair.live.execute_batch(live).unwrap();
    pair.file.execute_batch(file).unwrap();
    let difference = pair.find(only).unwrap();
    difference.attach(&pair.live).unwrap();
    let risks = difference.risks(&pair.live, Direction::Forward).unwrap();
    let ask = || {
        let found = risks.iter().map(|risk| risk.orphans(&pair.live).unwrap());
        found.flatten().collect::<Vec<_>>()
    };
    let found = ask();
    pair.live.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(ask(), found);
    // SQLite itself counts no others.
    let count = || {
        let mut query = pair.live.prepare("PRAGMA foreign_key_check").unwrap();
        let rows = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let mut tables: Vec<String> = rows.collect::<rusqlite::Result<_>>().unwrap();
        tables.retain(|table| table != "lost");
        tables.len() as u64
    };
    let before = count();
    difference
        .apply(&pair.live, Direction::Forward, |_| Ok(()))
        .unwrap();
    let made: u64 = found.iter().map(|orphans| orphans.count).sum();
    assert!(
        count() <= before + made && (before > 0 || count() == made),
        "{found:?}"
    );
    let of = |orphans: Orphans| (orphans.table, orphans.count, orphans.examples[0].clone());
    found.into_iter().map(of).collect()
}

#[test]
fn rows_that_would_point_to_nothing_are_found() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let three = "INSERT INTO articles (id, slug) VALUES (1, 'one'), (2, 'two'), (3, 'three');";
    let two = "INSERT INTO articles (id, slug) VALUES (1, 'one'), (3, 'three');";
    let one = |table: &str, count: u64, example: &str| vec![(table.to_owned(), count, example.to_owned())];
    // A kept comment on an article that is gone; one on no article.
    let comments = "INSERT INTO comments VALUES (17, 2, 'x'), (18, 1, 'y'), (19, NULL, 'z')";
    assert_eq!(
        orphans(&format!("{three} {comments}"), two, &["articles"]),
        one("comments", 1, "id 17 (article_id 2)")
    );
    // One that pointed to nothing before.
    let dangling = "INSERT INTO comments VALUES (17, 99, 'x')";
    assert_eq!(
        orphans(&format!("{three} {dangling}"), two, &["articles"]),
        vec![]
    );
    // By a unique column, of a table that has no key.
    let renamed = "INSERT INTO articles (id, slug) VALUES (1, 'one'), (2, 'zwei'), (3, 'three');";
    let links = "INSERT INTO links VALUES ('two', 1), ('two', 2), ('one', 3)";
    assert_eq!(
        orphans(&format!("{three} {links}"), renamed, &["articles"]),
        one("links", 2, "rowid 1 (slug two)")
    );
    // Both tables come, and fit.
    assert_eq!(
        orphans(
            &format!("{three} {comments}"),
            &format!("{two} INSERT INTO comments VALUES (17, 1, 'x'), (20, 3, 'y')"),
            &["articles", "comments"]
        ),
        vec![]
    );
    // Both come, and do not.
    assert_eq!(
        orphans(
            three,
            &format!("{two} INSERT INTO comments VALUES (17, 1, 'x'), (20, 2, 'y')"),
            &["articles", "comments"]
        ),
        one("comments", 1, "id 20 (article_id 2)")
    );
    // A row that stays as it is, in a table that comes.
    assert_eq!(
        orphans(
            &format!("{three} {comments}"),
            &format!("{two} INSERT INTO comments VALUES (17, 2, 'x'), (18, 3, 'new')"),
            &["articles", "comments"]
        ),
        one("comments", 1, "id 17 (article_id 2)")
    );
    // Only the pointing rows come.
    assert_eq!(
        orphans(
            &format!("{two} INSERT INTO comments VALUES (1, 7, 'x'), (2, 1, 'y')"),
            "INSERT INTO comments VALUES (1, 7, 'changed'), (2, 8, 'y'), (3, 3, 'y')",
            &["comments"]
        ),
        one("comments", 1, "id 2 (article_id 8)")
    );
    // Within one table.
    assert_eq!(
        orphans(
            &format!("{three} UPDATE articles SET parent = 2 WHERE id = 3"),
            &format!("{two} UPDATE articles SET parent = 2 WHERE id = 3"),
            &["articles"]
        ),
        one("articles", 1, "id 3 (parent 2)")
    );
    // Two columns.
    assert_eq!(
        orphans(
            "INSERT INTO pairs VALUES (1, 2), (2, 1); INSERT INTO of_pairs VALUES ('k', 1, 2), ('l', 2, 1), ('m', 1, NULL)",
            "INSERT INTO pairs VALUES (1, 2), (1, 1)",
            &["pairs"]
        ),
        one("of_pairs", 1, "k l (x 2, y 1)")
    );
}

/// SQLite compares the columns of a foreign key as those of the parent compare values.
#[test]
fn a_pointer_of_another_type_or_collation_than_the_key_is_followed() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for (key, pointer, live, file, orphan) in [
        // Texts that are the same number, and the other way round.
        ("INTEGER PRIMARY KEY", "TEXT", "'2', '02'", "2", None),
        ("INTEGER PRIMARY KEY", "TEXT", "'2', '3'", "2", Some("id 2 (p 3)")),
        ("TEXT PRIMARY KEY", "INTEGER", "2", "'2'", None),
        ("TEXT PRIMARY KEY", "INTEGER", "2", "'3'", Some("id 1 (p 2)")),
        ("NUMERIC UNIQUE", "", "'2', 2.0", "2", None),
        ("BLOB UNIQUE", "TEXT", "'2'", "2", Some("id 1 (p 2)")),
        // Another spelling comes, or stays.
        (
            "TEXT COLLATE NOCASE UNIQUE",
            "TEXT",
            "'Bread', 'BREAD'",
            "'breaD'",
            None,
        ),
        (
            "TEXT COLLATE NOCASE UNIQUE",
            "TEXT",
            "'Bread', 'BREAD'",
            "'butter'",
            Some("id 1 (p Bread)"),
        ),
        (
            "TEXT UNIQUE",
            "TEXT COLLATE NOCASE",
            "'Bread'",
            "'bread'",
            Some("id 1 (p Bread)"),
        ),
    ] {
        for only in [&["t"][..], &["t", "c"], &["c"]] {
            let of_live = live.split(", ").collect::<Vec<_>>().join("), (");
            let comments = format!("INSERT INTO c (p) VALUES ({of_live})");
            // The key before, as the first comment has it.
            let first = live.split(", ").next().unwrap();
            let before = format!("INSERT OR IGNORE INTO t (k) VALUES ({of_live}), ({first});");
            let after = format!("INSERT INTO t (k) VALUES ({file});");
            let schema = format!("CREATE TABLE t (k {key}, a); CREATE TABLE c (id INTEGER PRIMARY KEY, p {pointer} REFERENCES t (k), a)");
            let found = match only {
                // Only the comments come, and the articles are those of the file.
                ["c"] => orphans_of(&schema, &after, &format!("{before} {comments}"), only),
                ["t"] => orphans_of(&schema, &format!("{before} {comments}"), &after, only),
                // The comments are the same in the file, or changed.
                _ => orphans_of(
                    &schema,
                    &format!("{before} {comments}"),
                    &format!("{after} {comments}; UPDATE c SET a = 1 WHERE id = 2"),
                    only,
                ),
            };
            let example = found.first().map(|(_, _, example)| example.as_str());
            assert_eq!(
                example, orphan,
                "{key} from {pointer}: {live} to {file}, {only:?}"
            );
        }
    }
}

#[test]
fn a_difference_knows_in_which_direction_it_fits() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for kind in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE TABLE t (id TEXT PRIMARY KEY, a, b) WITHOUT ROWID",
    ] {
        let pair = Pair::new("", "");
        pair.both(kind);
        pair.both("CREATE TABLE u (x)");
        pair.live
            .execute_batch("INSERT INTO t VALUES (1, 1, NULL), (2, 2, NULL), (3, 3, NULL), (4, 4, NULL)")
            .unwrap();
        pair.file
            .execute_batch("INSERT INTO t VALUES (1, 1, NULL), (2, 2.0, NULL), (3, 4, 5), (5, 5, 5)")
            .unwrap();
        let difference = pair.find(&["t"]).unwrap();
        let fit = || {
            difference.attach(&pair.live).unwrap();
            let fit = difference.direction(&pair.live).unwrap();
            difference.detach(&pair.live).unwrap();
            fit
        };
        assert_eq!(fit(), Fit::Applies(Direction::Forward));
        pair.apply(&difference, Direction::Forward);
        assert_eq!(fit(), Fit::Applies(Direction::Back));
        // A row that both versions have does not count.
        pair.live
            .execute_batch(
                "UPDATE t SET a = 9 WHERE id = 1; INSERT INTO u VALUES (1); INSERT INTO t VALUES (9, 9, 9)",
            )
            .unwrap();
        assert_eq!(fit(), Fit::Applies(Direction::Back));
        pair.live
            .execute_batch("UPDATE t SET a = 2 WHERE id = 2")
            .unwrap();
        assert_eq!(fit(), Fit::Changed(vec![("t".into(), 1)]));
        pair.live.execute_batch("DELETE FROM t WHERE id = 5").unwrap();
        pair.live.execute_batch("INSERT INTO t VALUES (4, 4, 4)").unwrap();
        assert_eq!(fit(), Fit::Changed(vec![("t".into(), 2)]));
        pair.live.execute_batch("ALTER TABLE t ADD COLUMN c").unwrap();
        assert_eq!(difference.other_schema(&pair.live).unwrap(), Some("t".into()));
    }
}

#[test]
fn a_table_that_differs_or_cannot_be_written_is_refused_by_name() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let refused = |live: &str, file: &str, only: &[&str]| -> Option<String> {
        let pair = Pair::new("", "");
        pair.live.execute_batch(live).unwrap();
        pair.file.execute_batch(file).unwrap();
        let refused = pair.choose(only).err()?;
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
        Some(refused.to_string())
    };
    for (live, file, why) in [
        (
            "CREATE TABLE t (a)",
            "CREATE TABLE t (a, b)",
            "only in the file: t.b",
        ),
        ("CREATE TABLE t (a)", "CREATE TABLE u (a)", "only live: t"),
        (
            "CREATE TABLE t (a); CREATE INDEX ta ON t (a)",
            "CREATE TABLE t (a)",
            "only live: ta",
        ),
    ] {
        let refused = refused(live, file, &["t"]).unwrap();
        assert!(refused.contains(why), "{refused}");
    }
    let others = "CREATE TABLE t (a); CREATE VIEW v AS SELECT 1; CREATE TRIGGER tt AFTER DELETE ON t BEGIN SELECT 1; END; CREATE TABLE u (x)";
    assert_eq!(
        refused(others, "CREATE TABLE t (a); CREATE TABLE u (y)", &["t"]),
        None
    );
    for (both, why) in [
        ("CREATE TABLE t (rowid, oid, _rowid_)", "every name of the rowid"),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE VIRTUAL TABLE s USING fts5(a, content='')
             ; CREATE TRIGGER tt AFTER INSERT ON t BEGIN INSERT INTO s (rowid, a) VALUES (new.id, new.a); END",
            "the table s without the whole database",
        ),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE VIEW w AS SELECT * FROM t; CREATE VIRTUAL TABLE s USING fts5(a, content='w')
             ; CREATE TRIGGER tt AFTER INSERT ON t BEGIN INSERT INTO s (rowid, a) VALUES (new.id, new.a); END",
            "the view w",
        ),
        (
            "CREATE TABLE t (a); CREATE TABLE u (a); CREATE VIRTUAL TABLE s USING fts5(a)
             ; CREATE TRIGGER tt AFTER INSERT ON t BEGIN INSERT INTO s VALUES (new.a); END
             ; CREATE TRIGGER uu AFTER INSERT ON u BEGIN INSERT INTO s VALUES (new.a); END",
            "triggers of u",
        ),
    ] {
        let refused = refused(both, both, &["t"]).unwrap();
        assert!(refused.contains(why), "{refused}");
    }
}

const SEARCHES: [&str; 5] = [
    "CREATE VIRTUAL TABLE s USING fts5(a, b, content='t', content_rowid='id')",
    "CREATE VIRTUAL TABLE s USING fts5(c, a, content='t', content_rowid='number')",
    "CREATE VIRTUAL TABLE s USING fts4(a, b, content='t')",
    "CREATE VIRTUAL TABLE s USING fts5(a, b UNINDEXED, prefix='2 3')",
    "CREATE VIRTUAL TABLE s USING fts4(a, b)",
];

/// The triggers that keep a full-text index right, as an application has them.
fn triggers(search: &str) -> String {
    let (rowid, columns) = match () {
        () if search.contains("number") => ("number", ["c", "a"]),
        () => ("id", ["a", "b"]),
    };
    let list = |prefix: &str| columns.map(|column| format!("{prefix}{column}")).join(", ");
    let id = if search.contains("fts5") { "rowid" } else { "docid" };
    let insert = format!(
        "INSERT INTO s ({id}, {}) VALUES (new.{rowid}, {});",
        list(""),
        list("new.")
    );
    let delete = match search.contains("fts5") && search.contains("content") {
        true => format!(
            "INSERT INTO s (s, rowid, {}) VALUES ('delete', old.{rowid}, {});",
            list(""),
            list("old.")
        ),
        false => format!("DELETE FROM s WHERE {id} = old.{rowid};"),
    };
    // An index with the content of a table finds its columns there, so the old row has to be there still. FTS4's own
    // check wants every row in such an index.
    let text = format!(
        "CREATE TRIGGER t1 AFTER INSERT ON t WHEN new.a <> 'hidden' BEGIN {insert} END;
         CREATE TRIGGER t2 BEFORE DELETE ON t WHEN old.a <> 'hidden' BEGIN {delete} END;
         CREATE TRIGGER t3 BEFORE UPDATE ON t WHEN old.a <> 'hidden' BEGIN {delete} END;
         CREATE TRIGGER t4 AFTER UPDATE ON t WHEN new.a <> 'hidden' BEGIN {insert} END"
    );
    match search.contains("fts4") {
        true => text.replace("<> 'hidden'", "NOT NULL"),
        false => text,
    }
}

/// Writes rows as the application does, so that the triggers fire.
fn write_articles(connection: &Connection, random: &mut Random, count: u64) {
    let words = ["apple", "pear", "plum", "cherry", "quince", "hidden"];
    for _ in 0..count {
        let (id, number) = (random.below(40) as i64, random.below(1000) as i64);
        let mut text = || {
            let length = 1 + random.below(6);
            let text = (0..length).map(|_| words[random.below(6) as usize]);
            text.collect::<Vec<_>>().join(" ")
        };
        let (a, b) = (text(), text());
        match random.below(4) {
            0 => connection.execute("DELETE FROM t WHERE id = ?1", [id]),
            1 => connection.execute("UPDATE OR IGNORE t SET b = ?2 WHERE id = ?1", (id, b)),
            _ => connection.execute(
                "INSERT INTO t (id, number, a, b) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM t WHERE id = ?1 OR number = ?2)",
                (id, number, a, b),
            ),
        }
        .unwrap();
    }
}

/// What the index finds for each word, and its own check.
fn found(connection: &Connection, search: &str) -> Vec<String> {
    let id = if search.contains("fts5") { "rowid" } else { "docid" };
    let mut query = connection
        .prepare(&format!(
            "SELECT word || ' ' || (SELECT group_concat(n) FROM (SELECT {id} AS n FROM s WHERE s MATCH word ORDER BY 1))
             FROM (SELECT 'apple' AS word UNION ALL SELECT 'pear' UNION ALL SELECT 'plum' UNION ALL SELECT 'qui*' UNION ALL SELECT 'hidden')"
        ))
        .unwrap();
    let rows = query
        .query_map([], |row| row.get::<_, Option<String>>(0))
        .unwrap();
    let rows: Vec<_> = rows.map(|row| row.unwrap().unwrap_or_default()).collect();
    let check = connection.execute_batch("INSERT INTO s (s) VALUES ('integrity-check')");
    check.unwrap_or_else(|error| panic!("{search}: {error}"));
    rows
}

#[test]
fn full_text_indexes_come_along() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for (nth, search) in SEARCHES.iter().enumerate() {
        for encoding in ["UTF-8", "UTF-16le"] {
            let mut random = Random(77 + nth as u64);
            let pair = Pair::new(&format!("PRAGMA encoding = '{encoding}'"), "");
            pair.both("CREATE TABLE t (id INTEGER PRIMARY KEY, number UNIQUE, a TEXT, b TEXT, c AS (b || ' ' || a)); CREATE TABLE users (id)");
            pair.both(search);
            pair.both(&triggers(search));
            write_articles(&pair.live, &mut random, 60);
            pair.file
                .execute("ATTACH ?1 AS live", [pair.path().to_str().unwrap()])
                .ok();
            let _ = pair.file.execute_batch(
                "INSERT INTO t (id, number, a, b) SELECT id, number, a, b FROM live.t; DETACH live",
            );
            write_articles(&pair.file, &mut random, 30);
            let state = |connection: &Connection| {
                (
                    rows(connection, "t", "id, number, a, b, c"),
                    found(connection, search),
                )
            };
            let before = state(&pair.live);
            let difference = pair.find(&["t"]).unwrap();
            assert!(!difference.is_empty());
            pair.apply(&difference, Direction::Forward);
            assert_eq!(found(&pair.live, search), found(&pair.file, search), "{search}");
            let columns = "id, number, a, b, c";
            assert!(
                rows(&pair.live, "t", columns) == wanted(&pair, "t", columns),
                "{search}"
            );
            is_sound(&pair.live);
            assert!(pair.find(&["t"]).unwrap().is_empty(), "{search}");
            // The application goes on.
            let undone = difference.into_staged();
            let difference = Difference::open(undone).unwrap();
            pair.apply(&difference, Direction::Back);
            assert_eq!(state(&pair.live), before, "{search}");
            write_articles(&pair.live, &mut random, 20);
            found(&pair.live, search);
            is_sound(&pair.live);
        }
    }
}

#[test]
fn an_r_tree_that_a_trigger_writes_comes_along() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let pair = Pair::new("", "");
    pair.both(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL); CREATE TABLE users (id);
         CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, +note);
         CREATE TRIGGER t1 AFTER INSERT ON t BEGIN INSERT INTO boxes VALUES (new.id, new.x, new.x + 1, 'n' || new.id); END;
         CREATE TRIGGER t2 AFTER UPDATE ON t BEGIN UPDATE boxes SET x0 = new.x, x1 = new.x + 1 WHERE id = new.id; END;
         CREATE TRIGGER t3 AFTER DELETE ON t BEGIN DELETE FROM boxes WHERE id = old.id; END",
    );
    let numbers = "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)";
    pair.both(&format!("INSERT INTO t {numbers} SELECT i, i / 3.0 FROM n"));
    pair.file
        .execute_batch("UPDATE t SET x = x + 7 WHERE id % 10 = 0; DELETE FROM t WHERE id % 7 = 0; INSERT INTO t VALUES (999, 1.1)")
        .unwrap();
    let state = |connection: &Connection| {
        (
            rows(connection, "t", "id, x"),
            rows(connection, "boxes", "id, x0, x1, note"),
        )
    };
    let before = state(&pair.live);
    let names: Vec<_> = pair
        .choose(&["t"])
        .unwrap()
        .iter()
        .map(|table| table.name().to_owned())
        .collect();
    assert_eq!(names, ["t", "boxes"]);
    let difference = pair.find(&["t"]).unwrap();
    pair.apply(&difference, Direction::Forward);
    assert!(state(&pair.live) == state(&pair.file));
    is_sound(&pair.live);
    pair.apply(&difference, Direction::Back);
    assert!(state(&pair.live) == before);
    is_sound(&pair.live);
}
