//! Copies whole b-trees, page by page: faster than SQLite copies their rows.
//!
//! The worker writes each page anew, with its cells and nothing else. A rowid that only divides two pages becomes the one of
//! a row that is there. So the copy gets no byte of a row that is gone: not between the cells, not at the end of an
//! overflow page, and not on a free page. Pages get new numbers, without gaps.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;

use super::table::Table;
use crate::error::{Context, Error, Result};
use crate::visible::{self, Shown};
use crate::worker::snapshot::Pages;
use crate::worker::sqlite::header::locked_page;
use crate::worker::sqlite::node::{long, Cell, Node};

/// How many bytes are read at once if the next pages seem to follow. Trees that have grown together have their pages in turn,
/// so more would be read in vain.
const AHEAD: usize = 64 * 1024;
/// How many bytes are written at once.
const AT_ONCE: usize = 256 * 1024;
/// A page that comes at most this many pages after the last one is near it.
const NEAR: u32 = 8;
/// A tree is damaged if it is deeper: each level of a sound one has twice the pages of the level above it, at least.
const DEEPEST: usize = 32;

/// The length of the database header.
const HEADER: usize = 100;
const RESERVED: usize = 20;
const CHANGE_COUNTER: usize = 24;
const PAGES: usize = 28;
const SCHEMA_FORMAT: usize = 44;
const LARGEST_ROOT: usize = 52;
const ENCODING: usize = 56;
const COUNTED_AT: usize = 92;

/// The roots of the trees of a table, by the names of the table and its indexes.
pub(super) type Roots = BTreeMap<String, u32>;

/// The roots of all tables, by their names.
#[derive(Debug)]
pub(super) struct AllRoots(BTreeMap<String, Roots>);

impl AllRoots {
    /// Reads them from the schema of the main database of `connection`.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut tables: BTreeMap<String, Roots> = BTreeMap::new();
        let mut query = connection
            .prepare("SELECT tbl_name, name, rootpage FROM main.sqlite_schema WHERE rootpage > 1")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let trees = tables.entry(row.get(0)?).or_default();
            trees.insert(row.get(1)?, row.get(2)?);
        }
        Ok(Self(tables))
    }

    /// From the root of each tree of `table` in this database to that of the same tree in the `other`. `None` if the
    /// two do not have the same trees.
    fn to<'a>(&'a self, other: &'a Self, table: &Table) -> Option<Vec<(u32, u32)>> {
        let (ours, theirs) = (self.0.get(&table.name)?, other.0.get(&table.name)?);
        let roots = ours.iter().map(|(name, root)| Some((*root, *theirs.get(name)?)));
        roots
            .collect::<Option<Vec<_>>>()
            .filter(|roots| roots.len() == theirs.len())
    }
}

/// Copies trees of a state into a file that has the same tables without rows.
pub(super) struct Trees<'a> {
    reader: Reader<'a>,
    writer: Writer<'a>,
    /// The usable part of a page, in bytes.
    usable: usize,
    /// What messages call the file.
    name: &'a Path,
}

impl<'a> Trees<'a> {
    /// For a `file` that no connection uses meanwhile. `None` if the two files do not have pages of the same kind.
    /// `written` gets the length, in bytes, again and again, and can stop the copy.
    pub(super) fn between(
        pages: &'a Pages,
        file: &'a File,
        name: &'a Path,
        written: &'a mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Option<Self>> {
        let size = pages.size as usize;
        let mut first = vec![0; size];
        pages.read(&mut first, 0)?;
        let mut head = [0; HEADER];
        file.read_exact_at(&mut head, 0).on_path("cannot read", name)?;
        let same = |at: usize, length: usize| first[at..at + length] == head[at..at + length];
        let long = |at: usize| long(&head, at).unwrap_or_default();
        // Where the root pages are moved, or count, other pages say where each page belongs.
        let is_same = same(16, 2) && same(RESERVED, 1) && same(SCHEMA_FORMAT, 4) && same(ENCODING, 4);
        if !is_same || long(SCHEMA_FORMAT) != 4 || long(LARGEST_ROOT) != 0 || !same(LARGEST_ROOT, 4) {
            return Ok(None);
        }
        Ok(Some(Self {
            usable: size - usize::from(first[RESERVED]),
            reader: Reader::of(pages),
            writer: Writer {
                file,
                size,
                locked: locked_page(size as u32),
                head,
                end: long(PAGES) + 1,
                waiting: Vec::with_capacity(AT_ONCE + size),
                written,
            },
            name,
        }))
    }

    /// Copies the trees of `table`, whose roots are in `from` and in the copy in `to`. Returns false, and copies
    /// nothing, if the two do not have the same trees.
    pub(super) fn copy(&mut self, table: &Table, from: &AllRoots, to: &AllRoots) -> Result<bool> {
        let Some(roots) = from.to(to, table) else {
            return Ok(false);
        };
        for (root, new_root) in roots {
            let copied = self.tree(root, 0, Some(new_root));
            copied.map_err(|error| error.into_error(&table.name, self.name))?;
        }
        Ok(true)
    }

    /// Writes what is left, and the header, which then counts the pages.
    pub(super) fn finish(mut self) -> Result<()> {
        self.writer
            .finish()
            .map_err(|error| error.into_error("", self.name))
    }

    /// Copies the page `number` and what is below it. Returns its new number, which is `place` if there is one, and the
    /// largest rowid in it.
    fn tree(&mut self, number: u32, depth: usize, place: Option<u32>) -> Copied<(u32, Option<i64>)> {
        let damaged = || Obstacle::Damaged(number);
        if depth > DEEPEST {
            return Err(damaged());
        }
        let page = self.reader.page(number)?.to_vec();
        let node = Node::of(&page, 0, self.usable).ok_or_else(damaged)?;
        let mut anew = node.written_anew();
        let mut largest = None;
        for cell in node.cells() {
            let cell = cell.ok_or_else(damaged)?;
            let child = cell
                .child
                .map(|child| self.tree(child, depth + 1, None))
                .transpose()?;
            let added = match (child, cell.rowid) {
                (Some((child, largest)), Some(_)) => anew.add_divider(&cell, child, largest),
                _ => {
                    let overflow = self.overflow(&cell)?;
                    anew.add(&cell, child.map(|(child, _)| child), overflow)
                }
            };
            added.ok_or_else(damaged)?;
            largest = cell.rowid;
        }
        let last = node.last_child();
        let last = last.map(|child| self.tree(child, depth + 1, None)).transpose()?;
        if let Some((_, of_last)) = last {
            largest = of_last;
        }
        let page = anew.finish(last.map(|(child, _)| child));
        let number = match place {
            Some(place) => self.writer.put(place, &page).map(|()| place),
            None => self.writer.append(&page),
        }?;
        Ok((number, largest))
    }

    /// Copies what `cell` has on other pages. Returns the new number of the first.
    fn overflow(&mut self, cell: &Cell) -> Copied<Option<u32>> {
        let Some(overflow) = cell.overflow else {
            return Ok(None);
        };
        let first = self.writer.next();
        let (mut number, mut left) = (overflow.first, overflow.length);
        let room = self.usable as u64 - 4;
        while left > 0 {
            let length = left.min(room) as usize;
            left -= length as u64;
            let old = self.reader.page(number)?;
            let mut page = vec![0; old.len()];
            page[4..4 + length].copy_from_slice(&old[4..4 + length]);
            number = long(old, 0).unwrap_or_default();
            if left > 0 {
                page[..4].copy_from_slice(&self.writer.following().to_be_bytes());
            }
            self.writer.append(&page)?;
        }
        Ok(Some(first))
    }
}

/// What keeps a tree from being copied.
enum Obstacle {
    /// This page is not one of a sound tree.
    Damaged(u32),
    Unwritten(io::Error),
    Other(Error),
}

type Copied<T> = std::result::Result<T, Obstacle>;

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Obstacle {
    fn into_error(self, table: &str, file: &Path) -> Error {
        match self {
            Self::Damaged(page) => Error::io(
                format!(
                    "cannot copy the table {} into {}",
                    visible::line(table),
                    file.shown()
                ),
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("page {page} of the database is damaged"),
                ),
            ),
            Self::Unwritten(error) => Error::io(format!("cannot write {}", file.shown()), error),
            Self::Other(error) => error,
        }
    }
}

/// Reads pages, and those that follow at the same time if that seems worthwhile.
struct Reader<'a> {
    pages: &'a Pages,
    /// The content of the pages from `first` on.
    content: Vec<u8>,
    first: u32,
    last_asked: u32,
    /// How many pages may still be read: no sound tree has a page twice.
    left: u64,
}

impl<'a> Reader<'a> {
    fn of(pages: &'a Pages) -> Self {
        Self {
            pages,
            content: Vec::with_capacity(AHEAD),
            first: 1,
            last_asked: 0,
            left: pages.count,
        }
    }

    fn page(&mut self, number: u32) -> Copied<&[u8]> {
        let (size, count) = (self.pages.size as usize, self.pages.count);
        self.left = self.left.checked_sub(1).ok_or(Obstacle::Damaged(number))?;
        if number < 2 || u64::from(number) > count {
            return Err(Obstacle::Damaged(number));
        }
        let here = (self.content.len() / size) as u32;
        if !(self.first..self.first + here).contains(&number) {
            let follows = number.wrapping_sub(self.last_asked) <= NEAR;
            let most = if follows { AHEAD / size } else { 1 };
            let length = (most as u64).min(count + 1 - u64::from(number)) as usize * size;
            self.content.resize(length, 0);
            self.first = number;
            if let Err(error) = self
                .pages
                .read(&mut self.content, (u64::from(number) - 1) * self.pages.size)
            {
                self.content.clear();
                return Err(error.into());
            }
        }
        self.last_asked = number;
        let begin = (number - self.first) as usize * size;
        Ok(&self.content[begin..begin + size])
    }
}

/// Writes pages, and new ones after all others.
struct Writer<'a> {
    file: &'a File,
    size: usize,
    /// The page that SQLite does not use.
    locked: u32,
    /// The header of the file.
    head: [u8; HEADER],
    /// The number of the page after the last.
    end: u32,
    /// New pages that are not yet in the file.
    waiting: Vec<u8>,
    written: &'a mut dyn FnMut(u64) -> Result<()>,
}

impl Writer<'_> {
    /// The number of the next new page.
    fn next(&self) -> u32 {
        self.used_from(self.end)
    }

    /// The number of the one after it.
    fn following(&self) -> u32 {
        self.used_from(self.next() + 1)
    }

    fn used_from(&self, number: u32) -> u32 {
        number + u32::from(number == self.locked)
    }

    fn append(&mut self, page: &[u8]) -> Copied<u32> {
        let number = self.next();
        if number > self.end {
            self.waiting.resize(self.waiting.len() + self.size, 0);
        }
        self.waiting.extend_from_slice(page);
        self.end = number + 1;
        if self.waiting.len() >= AT_ONCE {
            self.flush()?;
        }
        Ok(number)
    }

    /// Writes a page that the file has already.
    fn put(&mut self, number: u32, page: &[u8]) -> Copied<()> {
        let at = (u64::from(number) - 1) * self.size as u64;
        self.file.write_all_at(page, at).map_err(Obstacle::Unwritten)
    }

    fn flush(&mut self) -> Copied<()> {
        let end = (u64::from(self.end) - 1) * self.size as u64;
        let begin = end - self.waiting.len() as u64;
        let written = self.file.write_all_at(&self.waiting, begin);
        written.map_err(Obstacle::Unwritten)?;
        self.waiting.clear();
        Ok((self.written)(end)?)
    }

    fn finish(&mut self) -> Copied<()> {
        self.flush()?;
        let counter = long(&self.head, CHANGE_COUNTER)
            .unwrap_or_default()
            .wrapping_add(1);
        for (at, number) in [
            (CHANGE_COUNTER, counter),
            (COUNTED_AT, counter),
            (PAGES, self.end - 1),
        ] {
            self.head[at..at + 4].copy_from_slice(&number.to_be_bytes());
        }
        self.file.write_all_at(&self.head, 0).map_err(Obstacle::Unwritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::random;
    use crate::worker::pull::rebuilt::table::Kind;
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
            AllRoots::read(connection).context("cannot read")?,
            AllRoots::read(&target).unwrap(),
        );
        drop(target);
        let file = File::options().read(true).write(true).open(copy).unwrap();
        let mut written = |_| Ok(());
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
            let [path, copied] =
                ["a", "b"].map(|name| folder.path().join(format!("{name}{page_size}{journal}")));
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
            let [path, copied] =
                ["a", "b"].map(|name| folder.path().join(format!("{name}{}", setting.len())));
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
            let [damaged, copied] =
                ["damaged", "copied"].map(|name| folder.path().join(format!("{name}{nth}")));
            std::fs::write(&damaged, &bytes).unwrap();
            let connection = Connection::open(&damaged).unwrap();
            refused += u32::from(copy(&damaged, &connection, &copied, 1024).is_err());
            std::fs::remove_file(copied).unwrap();
        }
        assert!(refused > 0, "no damage was seen");
    }

    #[test]
    fn new_pages_leave_out_the_one_that_sqlite_locks() {
        let file = tempfile::tempfile().unwrap();
        let mut written = |_| Ok(());
        let mut writer = Writer {
            file: &file,
            size: 512,
            locked: 4,
            head: [0; HEADER],
            end: 2,
            waiting: Vec::new(),
            written: &mut written,
        };
        let append = |writer: &mut Writer<'_>, byte: u8| writer.append(&[byte; 512]).ok();
        assert_eq!(append(&mut writer, b'a'), Some(2));
        assert_eq!((writer.next(), writer.following()), (3, 5));
        assert_eq!(append(&mut writer, b'b'), Some(3));
        assert_eq!((writer.next(), writer.following()), (5, 6));
        assert_eq!(append(&mut writer, b'c'), Some(5));
        assert!(writer.finish().is_ok());
        let mut content = [0; 5 * 512];
        file.read_exact_at(&mut content, 0).unwrap();
        let starts: Vec<_> = content.chunks(512).skip(1).map(|page| page[0]).collect();
        assert_eq!(starts, [b'a', b'b', 0, b'c']);
        assert_eq!(long(&content, PAGES), Some(5));
    }
}
