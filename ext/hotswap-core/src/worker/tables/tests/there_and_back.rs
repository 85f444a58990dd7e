//! Random tables of every kind: a difference is applied, and undone.

use super::*;

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
