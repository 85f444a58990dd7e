//! Writes only the pages that differ, through SQLite's page table (`sqlite_dbpage`).
//!
//! The worker looks for them while the gates are open, in a read transaction that stays open until the worker has
//! the write lock. Pages committed in between are in the WAL past the point where it ended then, and those
//! pages are written as well. So this needs WAL mode. Not every SQLite has the page table, or lets it change the
//! number of pages.

use std::collections::BTreeSet;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;

use rusqlite::types::Null;
use rusqlite::{Connection, OpenFlags};

use super::backup::{not_committed, Written};
use super::pages::{count_of, differing, number, read_page};
use super::transaction::Transaction;
use crate::error::{Context, Result};
use crate::sidecar::sidecars;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::sqlite::header::locked_page;
use crate::worker::sqlite::log_buffer::Durable;
use crate::worker::sqlite::vfs::{self, Purpose};
use crate::worker::sqlite::wal_index::LogIndex;

/// How many pages are written between two checks of the time.
const STEP: usize = 1000;

/// The pages that differ, and the read transaction in which they were found.
#[derive(Debug)]
pub(super) struct Difference {
    /// Keeps the WAL from being restarted, until the worker has the write lock.
    reader: Option<Connection>,
    index: ManuallyDrop<File>,
    before: LogIndex,
    pages: BTreeSet<u32>,
    /// The number of pages in the staged file.
    count: u32,
    page_size: u32,
    /// Whether this SQLite can change the number of pages.
    may_resize: bool,
}

impl Difference {
    /// Finds the difference. `None` if it cannot be written this way, or if that would not be worth it.
    pub(super) fn find(live: &Live, staged: &Staged, page_size: u32) -> Result<Option<Self>> {
        let path = live.path();
        if !live.is_wal() {
            return Ok(None);
        }
        let there = number(live.connection(), "PRAGMA page_count").on_path("cannot read", path)?;
        let resizes = there != count_of(staged, page_size);
        if !is_possible(resizes, path)? {
            return Ok(None);
        }
        let comparing = "cannot compare the staged file with the live database";
        let index = sidecars(path).nth(1).expect("the index comes second");
        // Stays open until the process ends, because closing it would drop SQLite's locks.
        let index = ManuallyDrop::new(File::open(&index).on_path("cannot open", &index)?);
        // Read before the transaction begins. Pages that are committed in between are written needlessly, but none
        // is missed.
        let before = LogIndex::read(&index).context(comparing)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let reader = Connection::open_with_flags(path, flags).on_path("cannot open", path)?;
        reader.execute_batch("BEGIN").context(comparing)?;
        let count = count_of(staged, page_size);
        let pages = differing(&reader, staged, count, page_size)?;
        let worth_it = pages.len() < count as usize / 2;
        Ok(worth_it.then_some(Self {
            reader: Some(reader),
            index,
            before,
            pages,
            count,
            page_size,
            may_resize: resizes,
        }))
    }

    /// How many bytes will be written, unless other commits add some.
    pub(super) fn bytes(&self) -> u64 {
        (self.pages.len() as u64 + 1) * u64::from(self.page_size)
    }

    /// Gives the live database the content of the staged file, as [`backup::write`](super::backup::write) does.
    pub(super) fn write(
        &mut self,
        live: &Live,
        staged: &Staged,
        go_on: impl FnMut(f64) -> Result<()>,
        commit: impl FnOnce() -> Result<()>,
    ) -> Result<Written> {
        let connection = live.connection();
        let Some(mut transaction) = Transaction::begin(connection)? else {
            return Ok(Written::Locked);
        };
        let Some(pages) = self.pages_by_now(live)? else {
            return Ok(Written::Outdated);
        };
        self.reader = None;

        let content = File::open(staged.path()).on_path("cannot open", staged.path())?;
        transaction.gather(Durable::AtCommit);
        put_pages(connection, &content, &pages, self.count, self.page_size, go_on)?;
        commit()?;
        transaction.commit().map_err(not_committed)?;
        Ok(Written::Pages(pages.len() as u64 + 1))
    }

    /// Adds the pages that have changed since. The worker has the write lock.
    fn pages_by_now(&self, live: &Live) -> Result<Option<BTreeSet<u32>>> {
        let looking = "cannot read the WAL of the live database";
        let now = LogIndex::read(&self.index).context(looking)?;
        let Some(skipped) = now.frames_before_news_since(&self.before) else {
            return Ok(None);
        };
        let log = sidecars(live.path()).next().expect("the log comes first");
        let log = File::open(&log).on_path("cannot open", &log)?;
        let changed = now
            .newest_frames(&log, self.page_size.into(), skipped)
            .context(looking)?;
        let there = number(live.connection(), "PRAGMA page_count").context(looking)?;
        if there != self.count && !self.may_resize {
            return Ok(None);
        }
        let missing = there.saturating_add(1)..=self.count;
        let mut pages = self.pages.clone();
        pages.extend(changed.into_keys().chain(missing));
        pages.retain(|page| (2..=self.count).contains(page) && *page != locked_page(self.page_size));
        Ok(Some(pages))
    }
}

/// Writes the pages within a transaction. Every statement here depends on the schema number from when the
/// transaction began. Other connections must see a new number, or they would use their cached schema and write into
/// the wrong table.
fn put_pages(
    connection: &Connection,
    content: &File,
    pages: &BTreeSet<u32>,
    count: u32,
    page_size: u32,
    mut go_on: impl FnMut(f64) -> Result<()>,
) -> Result<()> {
    let writing = "cannot write pages into the live database";
    keep_the_commit_from_moving_pages(connection).context(writing)?;
    let cookie = number(connection, "PRAGMA schema_version").context(writing)?;
    let there = number(connection, "PRAGMA page_count").context(writing)?;
    // Older versions of SQLite do not accept an INSERT here, and an UPDATE cannot reach a page that does not exist yet.
    let mut change = connection
        .prepare("UPDATE sqlite_dbpage SET data = ?2 WHERE pgno = ?1")
        .context(writing)?;
    let mut add = connection
        .prepare("INSERT INTO sqlite_dbpage (pgno, data) VALUES (?1, ?2)")
        .context(writing)?;
    let mut buffer = vec![0; page_size as usize];
    for (nth, page) in pages.iter().enumerate() {
        if nth % STEP == 0 {
            go_on(nth as f64 / pages.len() as f64)?;
        }
        read_page(content, *page, &mut buffer).context("cannot read the staged file")?;
        let put = if *page <= there { &mut change } else { &mut add };
        put.execute((page, &buffer)).context(writing)?;
    }
    read_page(content, 1, &mut buffer).context("cannot read the staged file")?;
    let own = adopt(&mut buffer, cookie, count);
    change.execute((1, &buffer)).context(writing)?;
    if there > count {
        // After every other page, because writing a later one would undo this.
        add.execute((count + 1, Null)).context(writing)?;
    }
    drop((change, add));
    // SQLite takes it as a signed number.
    let news = own.max(cookie).wrapping_add(1) as i32;
    connection
        .execute_batch(&format!("PRAGMA schema_version = {news}"))
        .context(writing)
}

/// With auto_vacuum FULL, COMMIT moves the last pages into the free ones. It takes the number of pages from the
/// start of the transaction, and the free pages from the new first page, and so damages the file. With INCREMENTAL
/// it moves none. The new first page restores the setting in the file, and SQLite reads it again when the next
/// transaction begins.
fn keep_the_commit_from_moving_pages(connection: &Connection) -> rusqlite::Result<()> {
    const FULL: u32 = 1;
    if number(connection, "PRAGMA main.auto_vacuum")? == FULL {
        connection.execute_batch("PRAGMA main.auto_vacuum = INCREMENTAL")?;
    }
    Ok(())
}

/// Whether this SQLite can write pages this way. Tries it with two small files next to the live one: before 3.47
/// SQLite cannot change the number of pages, and damages the file.
fn is_possible(resizes: bool, live: &Path) -> Result<bool> {
    let trying = "cannot test how pages are written";
    let (small, large) = (Staged::create(live)?, Staged::create(live)?);
    for (file, rows) in [(&small, 1), (&large, 9)] {
        let filled = vfs::open(file.path(), Purpose::Changing)?;
        let fill = format!("PRAGMA page_size = 4096; CREATE TABLE trial (a); INSERT INTO trial VALUES (zeroblob({rows} * 4096))");
        filled.execute_batch(&fill).context(trying)?;
    }
    let pairs: &[_] = if resizes {
        &[(&large, &small), (&small, &large)]
    } else {
        &[(&small, &small)]
    };
    for (content, target) in pairs {
        let count = std::fs::metadata(content.path()).context(trying)?.len() / 4096;
        let connection = vfs::open(target.path(), Purpose::Changing)?;
        connection.execute_batch("BEGIN").context(trying)?;
        let read = File::open(content.path()).context(trying)?;
        let pages = (2..=count as u32).collect();
        if put_pages(&connection, &read, &pages, count as u32, 4096, |_| Ok(())).is_err()
            || connection.execute_batch("COMMIT").is_err()
        {
            return Ok(false);
        }
        drop(connection);
        let judge = vfs::open(target.path(), Purpose::Reading)?;
        let verdict = judge.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
        if !verdict.is_ok_and(|verdict| verdict == "ok") {
            return Ok(false);
        }
        if std::fs::metadata(target.path()).context(trying)?.len() != count * 4096 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the first page state the number of pages, which the first page of an old file does not. It also keeps the
/// live schema's number for as long as statements depend on it. Returns the page's own number.
fn adopt(first_page: &mut [u8], cookie: u32, count: u32) -> u32 {
    let own = u32::from_be_bytes(first_page[40..44].try_into().expect("four bytes"));
    first_page[40..44].copy_from_slice(&cookie.to_be_bytes());
    first_page[28..32].copy_from_slice(&count.to_be_bytes());
    own
}
