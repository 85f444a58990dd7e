//! Tries malformed database files on the checks, with the system's own SQLite.
//!
//! The checks end without a crash for any file content. A file that they accept can be read and written to its
//! last row by a connection that trusts it. A changed bit in a value cannot be detected, so it does not count as
//! damage.
//!
//! `FUZZ_FILES` is the number of files (a short run by default), and `FUZZ_SEED` the first seed. A file that ends
//! the process, or that is wrongly accepted, stays in `target/hostile-files`. From there it can be moved to
//! `tests/hostile_files`; those files are tried first.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::{integrity, schemas};
use crate::error::Result;
use crate::worker::client::Client;
use crate::worker::schema::Schema;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::header::{DatabaseHeader, JOURNAL_BYTES};
use crate::worker::sqlite::system::adopt_the_systems_sqlite;
use crate::worker::sqlite::vfs::Purpose;

/// Much more than checking such a small file takes.
const PATIENCE: Duration = Duration::from_secs(20);

const SCHEMAS: [&str; 3] = [
    "PRAGMA page_size=512;
     CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, token TEXT UNIQUE, price REAL CHECK (price < 1000));
     CREATE INDEX items_by_name ON items (name COLLATE NOCASE, price DESC) WHERE price > 5;
     WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
       INSERT INTO items SELECT i, 'name ' || (i * 7 % 50), hex(i), i * 1.5 FROM n;
     DELETE FROM items WHERE id BETWEEN 30 AND 70;",
    "PRAGMA page_size=1024; PRAGMA auto_vacuum=INCREMENTAL;
     CREATE TABLE blobs (id INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB, length INT AS (length(content)) STORED);
     CREATE TABLE pairs (a TEXT, b INT, PRIMARY KEY (a, b)) WITHOUT ROWID;
     CREATE VIEW long_ones AS SELECT id FROM blobs WHERE length > 2000;
     CREATE TRIGGER counted AFTER INSERT ON blobs BEGIN INSERT OR REPLACE INTO pairs VALUES ('count', new.id); END;
     WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
       INSERT INTO blobs (content) SELECT CAST(printf('%.*c', i * 300, 'x') AS BLOB) FROM n;
     DELETE FROM blobs WHERE id > 15;",
    "PRAGMA page_size=4096; PRAGMA encoding='UTF-16le';
     CREATE TABLE texts (body TEXT, at DATETIME DEFAULT CURRENT_TIMESTAMP);
     CREATE INDEX lower_bodies ON texts (lower(body));
     INSERT INTO texts (body) VALUES ('one'), ('two'), (NULL), ('ü');",
];

#[test]
fn files_that_no_sqlite_wrote_are_refused_or_can_be_used() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let wanted = number("FUZZ_FILES", 300);
    let mut random = Random(number("FUZZ_SEED", 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.sqlite3");
    for kept in kept() {
        judge_and_use(&path, &kept);
    }
    let seeds: Vec<Vec<u8>> = SCHEMAS.iter().map(|sql| made(&path, sql)).collect();
    let (mut accepted, begun, mut slowest) = (0, Instant::now(), Duration::ZERO);
    for _ in 0..wanted {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(6) {
            random.spoil(&mut bytes);
        }
        if random.below(2) == 0 {
            // This bit selects the file's journal mode below. At most it changes the end of a value.
            bytes.last_mut().into_iter().for_each(|byte| *byte ^= 1);
        }
        let started = Instant::now();
        accepted += u64::from(judge_and_use(&path, &bytes));
        slowest = slowest.max(started.elapsed());
    }
    println!(
        "{wanted} files in {:.0} s, the slowest in {slowest:.1?}: {accepted} accepted, and all of those could be used",
        begun.elapsed().as_secs_f64()
    );
    assert!(wanted < 100 || (accepted > 0 && accepted < wanted));
}

/// Whether the checks accept the file. Fails if they accept it and it cannot be used.
fn judge_and_use(path: &Path, bytes: &[u8]) -> bool {
    let evidence = evidence(bytes);
    std::fs::write(path, bytes).unwrap();
    let started = Instant::now();
    let accepted = judged(path, bytes).is_ok();
    assert!(started.elapsed() < PATIENCE, "{} hangs", evidence.display());
    if accepted {
        used(path).unwrap_or_else(|why| panic!("{} was accepted, but: {why}", evidence.display()));
    }
    std::fs::remove_file(evidence).unwrap();
    accepted
}

/// Does with the file what a push does with a staged file.
fn judged(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut head = [0; 100];
    let length = head.len().min(bytes.len());
    head[..length].copy_from_slice(&bytes[..length]);
    DatabaseHeader::judge(&head, bytes.len() as u64, "hostile.sqlite3")?;
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let keep = |journal: u8| file.write_all_at(&[journal; 2], JOURNAL_BYTES).unwrap();
    keep(1);
    let before = std::fs::read(path).unwrap();
    let (client, _there) = Client::of_a_test();
    let connection = Foreign::open(path, Purpose::Changing, &[], &client)?;
    integrity::check_integrity(&connection, "hostile.sqlite3", || {})?;
    Schema::read(&connection).map_err(|error| schemas::unreadable(error, "hostile.sqlite3"))?;
    drop(connection);
    assert!(
        std::fs::read(path).unwrap() == before,
        "the check wrote to the file"
    );
    keep(1 + bytes[bytes.len() - 1] % 2);
    Ok(())
}

/// Uses the file as an application does: reads all of it, writes some of it, and finds it intact afterwards.
fn used(path: &Path) -> std::result::Result<(), String> {
    let connection = Connection::open(path).map_err(|error| error.to_string())?;
    let found = strings(&connection, "PRAGMA integrity_check")?;
    if found != ["ok"] {
        return Err(format!("{found:?}"));
    }
    let tables =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'";
    for table in strings(&connection, tables)? {
        let table = format!("\"{}\"", table.replace('"', "\"\""));
        for sql in [
            format!(
                "SELECT count(*), max(length(CAST(t AS TEXT))) FROM (SELECT * FROM {table}), (SELECT 1 AS t)"
            ),
            format!("UPDATE {table} SET rowid = rowid + 1000000 WHERE rowid % 3 = 0"),
            format!("DELETE FROM {table} WHERE abs(random() % 2)"),
        ] {
            // A table may have no rowid, or a constraint may forbid the statement. Neither is damage.
            undamaged(connection.execute_batch(&sql))?;
        }
    }
    undamaged(
        connection
            .execute_batch("CREATE TABLE one_more (x); INSERT INTO one_more VALUES (zeroblob(9000)); VACUUM"),
    )?;
    match strings(&connection, "PRAGMA integrity_check")? {
        found if found == ["ok"] => Ok(()),
        // SQLite checks a row when it is written, and the malformed schema may have other rules now.
        found
            if found
                .iter()
                .all(|row| row.contains("value in") || row.starts_with("CHECK constraint")) =>
        {
            Ok(())
        }
        found => Err(format!("after writing: {found:?}")),
    }
}

fn undamaged(outcome: rusqlite::Result<()>) -> std::result::Result<(), String> {
    match outcome {
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ) =>
        {
            Err(error.to_string())
        }
        _ => Ok(()),
    }
}

fn strings(connection: &Connection, sql: &str) -> std::result::Result<Vec<String>, String> {
    let mut query = connection.prepare(sql).map_err(|error| error.to_string())?;
    let rows = query
        .query_map([], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    rows.collect::<rusqlite::Result<_>>()
        .map_err(|error| error.to_string())
}

fn made(path: &Path, sql: &str) -> Vec<u8> {
    let _ = std::fs::remove_file(path);
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
    std::fs::read(path).unwrap()
}

/// Where the file is stored while it is tried. It stays there after a failure.
fn evidence(bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/hostile-files");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(format!("{:016x}.sqlite3", xxhash_rust::xxh3::xxh3_64(bytes)));
    std::fs::write(&file, bytes).unwrap();
    file
}

fn kept() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile_files");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// xorshift64*.
struct Random(u64);

impl Random {
    /// Makes one change where it is most likely to matter: in the file's header, in a page's header, or anywhere.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        const VALUES: [u8; 12] = [0, 1, 2, 5, 10, 13, 0x40, 0x7f, 0x80, 0x81, 0xfe, 0xff];
        if bytes.is_empty() {
            return;
        }
        let page = 512 << (self.below(4));
        let at = match self.below(4) {
            0 => self.below(108),
            1 => self.below(bytes.len() / page + 1) * page + self.below(24),
            _ => self.below(bytes.len()),
        }
        .min(bytes.len() - 1);
        let other = self.below(bytes.len());
        match self.below(9) {
            0 | 1 => bytes[at] ^= 1 << self.below(8),
            2 | 3 => bytes[at] = VALUES[self.below(VALUES.len())],
            4 => bytes[at] = self.next() as u8,
            5 => bytes.truncate(at),
            6 => {
                let length = page.min(bytes.len() - at.max(other));
                bytes.copy_within(other..other + length, at);
            }
            7 => {
                let number = (self.below(40) as u32).to_be_bytes();
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            _ => bytes[at.min(other)..at.max(other)]
                .iter_mut()
                .take(40)
                .for_each(|byte| *byte = 0),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
