use rusqlite::Connection;

use super::*;
use crate::sys::random;
use crate::worker::pull::rebuilt::table::Kind;
use crate::worker::snapshot::{identity_alongside, identity_of, Hashes};
use crate::worker::sqlite::node::varint_of;
use crate::worker::sqlite::system::adopt_the_systems_sqlite;

const TABLES: [&str; 5] = ["plain", "keyed", "words", "empty", "wide"];
const SECRET: &str = "a value that was deleted";
const SCHEMA: &str = "CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT, content);
     CREATE TABLE keyed (key TEXT PRIMARY KEY, content) WITHOUT ROWID;
     CREATE TABLE words (word TEXT UNIQUE, content);
     CREATE INDEX words_by_content ON words (content DESC, word);
     CREATE TABLE empty (a, b, c UNIQUE);
     CREATE TABLE wide (id INTEGER PRIMARY KEY AUTOINCREMENT, content);
     CREATE INDEX wide_by_content ON wide (content) WHERE id % 2 = 0;";

/// A database with rows of many lengths, and with what deleted and changed rows have left behind.
fn database(path: &Path, page_size: u32, journal: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    let filled = format!(
        "PRAGMA synchronous = OFF; PRAGMA page_size = {page_size}; PRAGMA journal_mode = {journal}; PRAGMA wal_autocheckpoint = 0;
         PRAGMA secure_delete = OFF; {SCHEMA}
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
         INSERT INTO plain SELECT i, '{SECRET} ' || i, randomblob(abs(random() % 300) + (i % 40 = 0) * 20000) FROM n;
         INSERT INTO keyed SELECT name || hex(randomblob(20)), content FROM plain;
         INSERT INTO words SELECT name, content FROM plain;
         INSERT INTO wide (content) VALUES ('{SECRET}'), (NULL), (''), (zeroblob(300000));
         UPDATE plain SET name = id WHERE name <> '';
         DELETE FROM keyed WHERE key LIKE '%a';
         UPDATE keyed SET key = substr(key, {length}) WHERE 1;
         UPDATE words SET word = 'w' || rowid;
         DELETE FROM plain WHERE id % 7 = 0;
         UPDATE wide SET content = id || zeroblob(20) WHERE id < 4;",
        length = SECRET.len() + 1
    );
    connection.execute_batch(&filled).unwrap();
    connection
}

/// Copies the trees of the database at `path` into a new file at `copy`.
fn copy(path: &Path, connection: &Connection, copy: &Path, page_size: u32) -> Result<bool> {
    let target = Connection::open(copy).unwrap();
    let laid_out = format!("PRAGMA synchronous = OFF; PRAGMA page_size = {page_size}; {SCHEMA}");
    target.execute_batch(&laid_out).unwrap();
    let begun = connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema");
    begun.context("cannot read")?;
    let pages = Pages::of(connection, path)?;
    let (from, to) = (
        Roots::read(connection).context("cannot read")?,
        Roots::read(&target).unwrap(),
    );
    drop(target);
    let file = File::options().read(true).write(true).open(copy).unwrap();
    let mut hashes = Hashes::default();
    let mut written = |bytes: &[u8], at| {
        hashes.add(bytes, at, page_size as usize);
        Ok(())
    };
    let Some(mut trees) = Trees::between(&pages, &file, copy, &mut written)? else {
        return Ok(false);
    };
    for name in TABLES {
        let table = Table {
            name: name.into(),
            sql: String::new(),
            kind: Kind::Ordinary,
        };
        assert!(trees.copy(&table, &from, &to)?, "{name}");
    }
    trees.finish()?;
    let identity = identity_alongside(&file, copy, &hashes, || Ok(()))?;
    assert_eq!(identity, identity_of(&file, copy, |_| Ok(()))?);
    Ok(true)
}

#[test]
fn a_copy_has_the_same_rows_and_nothing_of_rows_that_are_gone() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (page_size, journal) in [
        (512, "DELETE"),
        (1024, "WAL"),
        (4096, "WAL"),
        (4096, "DELETE"),
        (65536, "WAL"),
    ] {
        let [path, copied] = ["a", "b"].map(|name| folder.path().join(format!("{name}{page_size}{journal}")));
        let connection = database(&path, page_size, journal);
        let log = path.with_file_name(format!("a{page_size}{journal}-wal"));
        let before = [&path, &log]
            .map(|path| std::fs::read(path).unwrap_or_default())
            .concat();
        let secret = |bytes: &[u8]| {
            bytes
                .windows(SECRET.len())
                .any(|window| window == SECRET.as_bytes())
        };
        assert!(secret(&before), "the database has traces of what was deleted");

        assert!(copy(&path, &connection, &copied, page_size).unwrap());
        assert!(
            !secret(&std::fs::read(&copied).unwrap()),
            "with pages of {page_size} bytes"
        );
        let copy = Connection::open(&copied).unwrap();
        let answer = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(
            answer("PRAGMA integrity_check"),
            "ok",
            "with pages of {page_size} bytes"
        );
        assert_eq!(
            answer("SELECT count(*) || '' FROM pragma_freelist_count WHERE freelist_count > 0"),
            "0"
        );
        copy.execute("ATTACH ?1 AS live", [path.to_str().unwrap()])
            .unwrap();
        for table in TABLES {
            let rowid = if table == "keyed" { "key" } else { "rowid" };
            let differ = format!(
                "SELECT count(*) || '' FROM (SELECT {rowid}, * FROM {table} EXCEPT SELECT {rowid}, * FROM live.{table})"
            );
            assert_eq!(answer(&differ), "0", "{table}");
            let [here, there] =
                ["", "live."].map(|of| answer(&format!("SELECT count(*) || '' FROM {of}{table}")));
            assert_eq!(here, there, "{table}");
        }
        copy.execute_batch(
            "INSERT INTO plain (name) VALUES ('new'); DELETE FROM words; INSERT INTO wide DEFAULT VALUES",
        )
        .unwrap();
        assert_eq!(answer("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn a_copy_has_no_rowid_of_a_row_that_is_gone() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [path, copied] = ["a", "b"].map(|name| folder.path().join(name));
    let connection = Connection::open(&path).unwrap();
    // Rowids of nine bytes, and of few. Those of a row that is gone divide pages.
    let filled = format!(
        "PRAGMA synchronous = OFF; PRAGMA page_size = 512; {SCHEMA}
         WITH RECURSIVE n (i) AS (SELECT -1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO plain SELECT i * i * i * 123456, 'x', zeroblob(20 + abs(i) % 80) FROM n;
         CREATE TEMP TABLE gone AS SELECT id FROM plain WHERE rowid % 5 = 0 AND id > 9000000000;
         DELETE FROM plain WHERE id IN gone"
    );
    connection.execute_batch(&filled).unwrap();
    let mut query = connection.prepare("SELECT id FROM gone").unwrap();
    let gone: Vec<i64> = query
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(|id| id.unwrap())
        .collect();
    drop(query);
    assert!(copy(&path, &connection, &copied, 512).unwrap());
    let traces = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let windows: std::collections::HashSet<&[u8]> =
            (5..9).flat_map(|length| bytes.windows(length)).collect();
        gone.iter()
            .filter(|id| windows.contains(varint_of(**id as u64).as_slice()))
            .count()
    };
    assert!(traces(&path) > 0, "no row that is gone has left its rowid");
    assert_eq!(traces(&copied), 0);
    let copy = Connection::open(&copied).unwrap();
    let answer = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(answer("PRAGMA integrity_check"), "ok");
    copy.execute("ATTACH ?1 AS live", [path.to_str().unwrap()])
        .unwrap();
    assert_eq!(
        answer("SELECT count(*) || '' FROM live.plain l JOIN plain p ON p.id = l.id"),
        answer("SELECT count(*) || '' FROM live.plain")
    );
}

#[test]
fn trees_of_files_of_another_kind_are_left_to_sqlite() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (setting, page_size) in [
        ("PRAGMA auto_vacuum = FULL", 4096),
        ("PRAGMA encoding = 'UTF-16'", 4096),
        ("", 1024),
    ] {
        let [path, copied] = ["a", "b"].map(|name| folder.path().join(format!("{name}{}", setting.len())));
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&format!("{setting}; {SCHEMA}")).unwrap();
        assert!(
            !copy(&path, &connection, &copied, page_size).unwrap(),
            "{setting}"
        );
    }
}

#[test]
fn a_damaged_tree_is_an_error_or_a_copy_but_no_panic_and_no_loop() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound");
    drop(database(&path, 1024, "DELETE"));
    let sound = std::fs::read(&path).unwrap();
    let number = |below: usize| random::number().unwrap() as usize % below;
    let mut refused = 0;
    for nth in 0..40 {
        let mut bytes = sound.clone();
        // The first bytes of a page are those that say what is in it.
        for _ in 0..20 {
            let page = 1 + number(bytes.len() / 1024 - 1);
            bytes[page * 1024 + number(1024) % [8, 40, 1024][number(3)]] = number(256) as u8;
        }
        let [damaged, copied] = ["damaged", "copied"].map(|name| folder.path().join(format!("{name}{nth}")));
        std::fs::write(&damaged, &bytes).unwrap();
        let connection = Connection::open(&damaged).unwrap();
        refused += u32::from(copy(&damaged, &connection, &copied, 1024).is_err());
        std::fs::remove_file(copied).unwrap();
    }
    assert!(refused > 0, "no damage was seen");
}
