//! Which pages of a database belong to some of its tables.
//!
//! A write to a table changes at least one page of its tree, as the tree was before: a leaf, the parent of new leaves,
//! or only an overflow page. So a transaction that changes none of these pages has not written the table.
//! <https://www.sqlite.org/fileformat2.html#b_tree_pages>

use super::header::HEADER;
use super::node::{long, Node};
use crate::error::{Error, Result};

/// A set of pages: one bit for each page of the database.
#[derive(Debug, Default)]
pub(crate) struct PageSet {
    bits: Vec<u64>,
    pages: u32,
}

impl PageSet {
    /// Collects the pages of the trees that begin at `roots`, in a database whose pages have `size` bytes, of which
    /// `reserved` are not used. `read` fills the buffer with a page.
    pub(crate) fn of_trees(
        roots: &[u32],
        size: usize,
        reserved: usize,
        mut read: impl FnMut(u32, &mut [u8]) -> Result<()>,
    ) -> Result<Self> {
        let mut set = Self::default();
        let (mut page, mut link) = (vec![0; size], vec![0; size]);
        let mut next: Vec<u32> = roots.to_vec();
        while let Some(number) = next.pop() {
            if !set.add(number) {
                continue;
            }
            read(number, &mut page)?;
            let begin = if number == 1 { HEADER } else { 0 };
            let node =
                Node::of(&page, begin, size.saturating_sub(reserved)).ok_or_else(|| damaged(number))?;
            for cell in node.cells() {
                let cell = cell.ok_or_else(|| damaged(number))?;
                next.extend(cell.child);
                let Some(overflow) = cell.overflow else { continue };
                let mut number = overflow.first;
                while number != 0 && set.add(number) {
                    read(number, &mut link)?;
                    number = long(&link, 0).unwrap_or(0);
                }
            }
            next.extend(node.last_child());
        }
        Ok(set)
    }

    /// Whether the page belongs to one of the tables.
    pub(crate) fn contains(&self, page: u32) -> bool {
        let bits = self.bits.get(page as usize / 64);
        bits.is_some_and(|bits| bits >> (page % 64) & 1 == 1)
    }

    /// The number of pages.
    pub(crate) fn pages(&self) -> u32 {
        self.pages
    }

    /// Returns false if the page was there already. In a sound database it is not; in a damaged one, pages form a loop.
    fn add(&mut self, page: u32) -> bool {
        let word = page as usize / 64;
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        let bit = 1 << (page % 64);
        let is_new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        self.pages += u32::from(is_new);
        is_new
    }
}

fn damaged(page: u32) -> Error {
    Error::io(
        format!("page {page} of the live database is damaged"),
        std::io::Error::from(std::io::ErrorKind::InvalidData),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::random;
    use crate::worker::sqlite::header::DatabaseHeader;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;
    use crate::worker::sqlite::wal_index::LogIndex;
    use rusqlite::Connection;
    use std::collections::BTreeSet;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};

    const TABLES: [&str; 3] = ["plain", "keyed", "words"];

    /// A database in WAL mode with tables of several kinds, of which `aside` is not looked at.
    fn database(path: &Path, page_size: u32, auto_vacuum: u32) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA journal_mode = WAL;
                 PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;
                 CREATE TABLE aside (id INTEGER PRIMARY KEY, content);
                 CREATE TABLE plain (id INTEGER PRIMARY KEY, name TEXT, content);
                 CREATE TABLE keyed (key TEXT PRIMARY KEY, content) WITHOUT ROWID;
                 CREATE TABLE words (word TEXT, content);
                 CREATE INDEX words_by_word ON words (word);
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
                 INSERT INTO plain SELECT i, 'row ' || i, randomblob(abs(random() % 300) + (i % 40 = 0) * 20000) FROM n;
                 INSERT INTO keyed SELECT hex(randomblob(20)), content FROM plain;
                 INSERT INTO words SELECT name, content FROM plain;
                 INSERT INTO aside SELECT id, content FROM plain;"
            ))
            .unwrap();
        connection
    }

    fn beside(path: &Path, suffix: &str) -> File {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        File::open(PathBuf::from(name)).unwrap()
    }

    fn roots(connection: &Connection) -> Vec<u32> {
        let root = |table| {
            let sql = "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1";
            connection.query_row(sql, [table], |row| row.get(0)).unwrap()
        };
        TABLES.map(root).to_vec()
    }

    /// Empties the WAL, so that all pages are in the file.
    fn walk(connection: &Connection, path: &Path) -> PageSet {
        let empty = "PRAGMA wal_checkpoint(TRUNCATE)";
        connection.query_row(empty, [], |_| Ok(())).unwrap();
        let file = std::fs::read(path).unwrap();
        let header = DatabaseHeader::read(file[..100].try_into().unwrap());
        let size = header.page_size as usize;
        PageSet::of_trees(&roots(connection), size, usize::from(file[20]), |page, buffer| {
            buffer.copy_from_slice(&file[(page as usize - 1) * size..page as usize * size]);
            Ok(())
        })
        .unwrap()
    }

    /// Whether the transactions since `before` have changed one of the pages.
    fn touched(trees: &PageSet, path: &Path, before: &LogIndex) -> bool {
        let mut head = [0; 100];
        beside(path, "").read_exact_at(&mut head, 0).unwrap();
        let size = DatabaseHeader::read(&head).page_size;
        let now = LogIndex::read(&beside(path, "-shm")).unwrap();
        let skipped = now.frames_before_news_since(before).unwrap();
        let changed = now.newest_frames(&beside(path, "-wal"), size, skipped).unwrap();
        assert!(!changed.is_empty(), "the statement has written nothing");
        changed.keys().any(|page| trees.contains(*page))
    }

    #[test]
    fn the_pages_are_those_that_sqlite_counts() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        for page_size in [512, 1024, 4096, 65536] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.sqlite3");
            let connection = database(&path, page_size, page_size % 3);
            connection
                .execute_batch("DELETE FROM plain WHERE id % 7 = 0; UPDATE words SET content = zeroblob(90000) WHERE rowid = 5")
                .unwrap();
            let trees = walk(&connection, &path);
            let Ok(mut query) = connection.prepare("SELECT pageno FROM dbstat WHERE name = ?1") else {
                return crate::testing::pending("this SQLite has no dbstat");
            };
            let mut expected = BTreeSet::new();
            for table in TABLES {
                // The key of a table WITHOUT ROWID is the table itself.
                let pages = query.query_map([table], |row| row.get::<_, u32>(0)).unwrap();
                expected.extend(pages.map(rusqlite::Result::unwrap));
            }
            let last: u32 = connection
                .query_row("PRAGMA page_count", [], |row| row.get(0))
                .unwrap();
            let found: BTreeSet<_> = (1..=last + 64).filter(|page| trees.contains(*page)).collect();
            assert_eq!(found, expected, "with pages of {page_size} bytes");
            assert_eq!(trees.pages() as usize, expected.len());
        }
    }

    #[test]
    fn every_write_to_a_table_changes_one_of_its_pages() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let writes = [
            "UPDATE plain SET content = content || x'00' WHERE id = 40",
            "UPDATE plain SET name = 'another' WHERE id = 41",
            "INSERT INTO plain (name, content) VALUES ('new', zeroblob(10))",
            "INSERT INTO plain (name, content) VALUES ('new', zeroblob(70000))",
            "INSERT INTO plain SELECT id + 5000, name, content FROM plain",
            "DELETE FROM plain WHERE id = 80",
            "DELETE FROM plain WHERE id > 100",
            "DELETE FROM plain",
            "UPDATE keyed SET content = 'x' WHERE key = (SELECT max(key) FROM keyed)",
            "DELETE FROM keyed WHERE key IN (SELECT key FROM keyed ORDER BY random() LIMIT 1)",
            "DELETE FROM keyed",
            "INSERT INTO keyed VALUES ('', zeroblob(5000))",
            "UPDATE words SET word = 'w' WHERE rowid = 3",
            "UPDATE words SET content = NULL WHERE rowid = 40",
            "INSERT INTO words VALUES ('', '')",
        ];
        let others = [
            "UPDATE aside SET content = content || x'00' WHERE id = 40",
            "INSERT INTO aside SELECT id + 5000, content FROM plain",
            "CREATE TABLE more (id)",
        ];
        for auto_vacuum in 0..3 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.sqlite3");
            let connection = database(&path, 1024, auto_vacuum);
            for (sql, of_a_table) in writes
                .map(|sql| (sql, true))
                .into_iter()
                .chain(others.map(|sql| (sql, false)))
            {
                let trees = walk(&connection, &path);
                let before = LogIndex::read(&beside(&path, "-shm")).unwrap();
                connection
                    .execute_batch(&format!(
                        "BEGIN; {sql}; SAVEPOINT a; UPDATE aside SET content = random() WHERE id = 1; COMMIT"
                    ))
                    .unwrap();
                let seen = touched(&trees, &path, &before);
                // To make room for a root, SQLite may move a page of any table.
                let may_be_seen = of_a_table || auto_vacuum > 0;
                assert!(seen || !of_a_table, "{sql} with auto_vacuum {auto_vacuum}");
                assert!(may_be_seen || !seen, "{sql} with auto_vacuum {auto_vacuum}");
                connection
                    .execute_batch("DELETE FROM aside WHERE id > 4000; DROP TABLE IF EXISTS more")
                    .unwrap();
                connection.execute_batch("PRAGMA incremental_vacuum(3)").unwrap();
            }
        }
    }

    /// A write into a large value may change nothing but one overflow page.
    #[test]
    fn a_write_into_an_overflow_page_alone_is_seen() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite3");
        let connection = database(&path, 1024, 0);
        let rows = [("plain", 40), ("words", 80)];
        for (table, row) in rows {
            let trees = walk(&connection, &path);
            let before = LogIndex::read(&beside(&path, "-shm")).unwrap();
            let sql = format!(
                "UPDATE {table} SET content =
                   CAST(substr(content, 1, 15000) || x'ff00ff' || substr(content, 15004) AS BLOB) WHERE rowid = {row}"
            );
            assert_eq!(connection.execute(&sql, []).unwrap(), 1);
            let now = LogIndex::read(&beside(&path, "-shm")).unwrap();
            let changed = now
                .newest_frames(&beside(&path, "-wal"), 1024, before.frames)
                .unwrap();
            assert_eq!(changed.len(), 1, "{changed:?}");
            assert!(touched(&trees, &path, &before), "{table}");
        }
    }

    #[test]
    fn random_writes_are_seen_with_pages_of_any_size() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        for page_size in [512, 2048, 8192] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a.sqlite3");
            let connection = database(&path, page_size, page_size / 512 % 3);
            for _ in 0..120 {
                let trees = walk(&connection, &path);
                let before = LogIndex::read(&beside(&path, "-shm")).unwrap();
                let number = |most: u64| random::number().unwrap() % most;
                let (table, row) = (TABLES[number(3) as usize], number(900));
                let of_row = format!(
                    "rowid IN (SELECT rowid FROM {table} LIMIT {} OFFSET {row})",
                    number(4) + 1
                );
                let of_key = format!(
                    "key IN (SELECT key FROM keyed LIMIT {} OFFSET {row})",
                    number(4) + 1
                );
                let which = if table == "keyed" { of_key } else { of_row };
                let length = number(9) * number(3000);
                let sql = match number(3) {
                    0 => format!("DELETE FROM {table} WHERE {which}"),
                    1 => format!("UPDATE {table} SET content = randomblob({length}) WHERE {which}"),
                    _ if table == "keyed" => {
                        format!("INSERT INTO keyed VALUES (hex(randomblob(16)), randomblob({length}))")
                    }
                    _ => format!("INSERT INTO {table} (content) VALUES (randomblob({length}))"),
                };
                if connection.execute(&sql, []).unwrap() > 0 {
                    assert!(
                        touched(&trees, &path, &before),
                        "{sql} with pages of {page_size} bytes"
                    );
                }
            }
        }
    }
}
