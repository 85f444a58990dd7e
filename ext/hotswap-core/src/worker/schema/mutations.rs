//! Compares small changes of a schema, and uses the system's SQLite to tell what each change means.
//!
//! The test respells, removes, doubles and swaps each word of each statement. If the comparison then calls the
//! schemas equal, SQLite must report the same columns, keys and indexes, and must compile the same programs for
//! reading and writing.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::words::words;
use super::Schema;
use crate::worker::sqlite::system::adopt_the_systems_sqlite;

const STATEMENTS: &[&str] = &[
    "CREATE TABLE \"owners\" (\"id\" integer PRIMARY KEY AUTOINCREMENT NOT NULL, \"name\" varchar(20) COLLATE \"NOCASE\" \
     DEFAULT 'No One' NOT NULL, \"on\" boolean DEFAULT FALSE, \"left\" boolean DEFAULT 1, \"none\" text DEFAULT NULL)",
    "CREATE TABLE things (id INTEGER PRIMARY KEY, owner_id INTEGER NOT NULL ON CONFLICT IGNORE REFERENCES owners (id) \
     ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED, key TEXT DEFAULT Key, title TEXT DEFAULT \"It's\", size REAL DEFAULT -1.5e+2, \
     at DATETIME DEFAULT CURRENT_TIMESTAMP, up TEXT GENERATED ALWAYS AS (upper(title)) STORED, \
     twice INT AS (size * 2) VIRTUAL, CONSTRAINT positive CHECK (size > 0 OR title = 'Free' OR key = \"Key\"), \
     UNIQUE (key, title) ON CONFLICT REPLACE, CHECK (owner_id IS NOT NULL))",
    "CREATE TABLE pairs (a ANY COLLATE RTRIM, b BLOB DEFAULT x'0Aff', c INT CHECK (c <> 7), PRIMARY KEY (b, a DESC)) STRICT, WITHOUT ROWID",
    "CREATE INDEX by_title ON things (title COLLATE NOCASE DESC, size ASC, lower(key)) WHERE size > 5 AND title <> \"Free\"",
    "CREATE UNIQUE INDEX \"by_owner\" ON \"things\" (\"owner_id\", \"at\")",
    "CREATE VIEW free AS SELECT DISTINCT t.title AS Title, \"o\".name, x'ab', 'Free' FROM things AS t LEFT JOIN owners o ON o.id = t.owner_id",
    "CREATE TRIGGER shout AFTER UPDATE OF title ON things WHEN new.title <> 'Quiet' BEGIN \
     UPDATE owners SET name = name || '!' WHERE id = new.owner_id; DELETE FROM pairs WHERE a = old.key; END",
];

#[test]
fn what_is_taken_for_the_same_schema_is_the_same_to_sqlite() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let original = made(STATEMENTS).expect("SQLite takes the original");
    let (schema, behaviour) = (Schema::read(&original).unwrap(), behaviour(&original));
    let (mut same, mut other, mut refused) = (0, 0, 0);
    for (number, statement) in STATEMENTS.iter().enumerate() {
        for changed in changes(statement) {
            let mut statements = STATEMENTS.to_vec();
            statements[number] = &changed;
            let Some(connection) = made(&statements) else {
                refused += 1;
                continue;
            };
            let there = Schema::read(&connection).unwrap();
            if schema.mismatch(&there).is_some() {
                other += 1;
                continue;
            }
            same += 1;
            for (question, answer) in self::behaviour(&connection) {
                assert_eq!(
                    answer, behaviour[&question],
                    "taken for the same:\n{statement}\n{changed}\nand yet, {question}:"
                );
            }
        }
    }
    println!("{same} taken for the same, {other} for another, {refused} refused by SQLite");
    assert!(same > 500 && other > 500 && refused > 500);
}

/// The statement with one change: one string for each possible change.
fn changes(statement: &str) -> Vec<String> {
    let words = words(statement.as_bytes());
    let words: Vec<&str> = words
        .iter()
        .map(|word| std::str::from_utf8(word).unwrap())
        .collect();
    let mut changes = Vec::new();
    for at in 0..words.len() {
        let word = words[at];
        let bare = word.trim_matches(['"', '\'', '`', '[', ']']);
        let mut others = vec![
            word.to_uppercase(),
            word.to_lowercase(),
            bare.to_owned(),
            format!("\"{bare}\""),
            format!("`{bare}`"),
            format!("[{bare}]"),
            format!("'{bare}'"),
            format!("/* ' */ {word} --\n"),
            format!("\u{a0}{word}"),
            format!("{bare}x"),
            format!("{bare}1"),
            String::new(),
            format!("{word} {word}"),
            format!("{word} NULL"),
            format!("({word})"),
            format!("{word}\t\r\n"),
        ];
        for known in [
            "TRUE",
            "FALSE",
            "0",
            "1",
            "NULL",
            "DEFAULT NULL",
            "NOT NULL",
            "UNIQUE",
            "ASC",
            "VIRTUAL",
            "\"true\"",
        ] {
            others.push(known.to_owned());
            others.push(format!("{word} {known}"));
        }
        for change in others {
            let mut changed = words.clone();
            changed[at] = &change;
            changes.push(changed.join(" "));
        }
        for there in at + 1..words.len().min(at + 4) {
            let mut changed = words.clone();
            changed.swap(at, there);
            changes.push(changed.join(" "));
        }
    }
    changes
}

fn made(statements: &[&str]) -> Option<Connection> {
    let connection = Connection::open_in_memory_with_flags(OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    statements
        .iter()
        .all(|statement| connection.execute_batch(statement).is_ok())
        .then_some(connection)
}

/// What SQLite reports about each table and each index, and which programs it compiles for them.
fn behaviour(connection: &Connection) -> BTreeMap<String, Vec<String>> {
    let mut behaviour = BTreeMap::new();
    let mut ask = |what: String| {
        let rows = rows(connection, &what);
        behaviour.insert(what, rows);
    };
    ask("SELECT lower(name), type, wr, strict FROM pragma_table_list ORDER BY 1".into());
    for table in ["owners", "things", "pairs", "free"] {
        ask(format!(
            "SELECT name, lower(type), \"notnull\", pk, hidden FROM pragma_table_xinfo('{table}')"
        ));
        ask(format!("SELECT seq, \"table\", \"from\", \"to\", on_update, on_delete, match FROM pragma_foreign_key_list('{table}') ORDER BY 2, 3"));
        ask(format!(
            "SELECT l.name, \"unique\", origin, partial, seqno, cid, x.name, desc, lower(coll), key
             FROM pragma_index_list('{table}') l, pragma_index_xinfo(l.name) x ORDER BY 1, 5"
        ));
        for statement in [
            "INSERT INTO t DEFAULT VALUES",
            "INSERT OR REPLACE INTO t SELECT * FROM t",
            "DELETE FROM t",
            "SELECT * FROM t",
        ] {
            ask(format!(
                "EXPLAIN {}",
                statement.replace(" t", &format!(" {table}"))
            ));
        }
    }
    for statement in [
        "UPDATE owners SET id = id + 1, name = 'x'",
        "UPDATE things SET owner_id = 1, title = 'x', size = 3",
        "INSERT INTO things (owner_id) VALUES (1)",
        "INSERT INTO pairs (a, b) VALUES (1, x'00')",
        "INSERT INTO pairs (a, c) VALUES (1, 2)",
        "SELECT * FROM things WHERE title = 'x' COLLATE NOCASE AND size > 5 ORDER BY size",
    ] {
        ask(format!("EXPLAIN {statement}"));
    }
    behaviour
}

fn rows(connection: &Connection, sql: &str) -> Vec<String> {
    let asked = || -> rusqlite::Result<Vec<String>> {
        let mut query = connection.prepare(sql)?;
        let columns = query.column_count();
        let mut rows = query.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|column| Ok(text(row.get_ref(column)?)));
            let mut values = values.collect::<rusqlite::Result<Vec<_>>>()?;
            // These texts do not change what the program does: the name of a constraint or a table, and a default of
            // NULL.
            let told = ["Halt", "Clear", "Insert", "Delete"].contains(&&*values[1]);
            if sql.starts_with("EXPLAIN") && (told || values[5].eq_ignore_ascii_case("null")) {
                values[5].clear();
            }
            if sql.contains("table_xinfo") {
                // SQLite keeps the white space in a type, and names a view's column without AS after its whole
                // expression.
                for value in &mut values[..2] {
                    *value = String::from_utf8(words(value.as_bytes()).concat()).unwrap();
                }
            }
            found.push(values.join(" "));
        }
        Ok(found)
    };
    asked().unwrap_or_else(|error| vec![error.to_string()])
}

fn text(value: ValueRef) -> String {
    match value {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    }
}
