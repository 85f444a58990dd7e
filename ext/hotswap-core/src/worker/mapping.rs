//! The file that SQLite checks, read where it lies in the page cache instead of copied from there.
//!
//! Mapped, a check takes two thirds of the time: it reads every page at least twice, and a call of the system and a copy
//! cost as much as what it does with the page. The mapping is ours. SQLite's own ends at 2 GB, and what is mapped counts
//! as memory of this process once it was touched, of which a check touches all. So what it touches is noted as SQLite asks
//! for it, and let go in portions: that takes it out of our memory and not out of the page cache.
//!
//! A disk that fails to read a mapped page ends the process with SIGBUS instead of an error. It costs this push,
//! as any end of a worker does; the bytes were written by this very process a moment ago.

use std::ffi::{c_int, c_void};
use std::fs::File;

use memmap2::{Mmap, UncheckedAdvice};
use rusqlite::{ffi, Connection};

use super::file_methods::{state, FileMethods};

/// What the kernel maps at a touch, in bytes: its neighbours come along. More where it [keeps](super::staged::PIECE) the
/// file in larger pages.
const BLOCK: usize = 64 * 1024;
/// How many blocks may be mapped: 24 MB.
const MOST: usize = 384;

/// Runs `work`, which reads the main database of `connection`, with `file`, which is that and which nobody changes, mapped
/// where SQLite can do that.
pub fn mapped<T>(connection: &Connection, file: &File, work: impl FnOnce() -> T) -> T {
    let Some(mapping) = Mapping::of(connection, file) else {
        return work();
    };
    let _methods = FileMethods::of(connection, mapping, |ours| {
        ours.xFetch = Some(fetch);
        ours.xUnfetch = Some(unfetch);
    });
    work()
}

struct Mapping {
    content: Mmap,
    /// By block.
    touched: Vec<bool>,
    blocks: usize,
}

impl Mapping {
    /// `None` where SQLite was built to read only, or the file is too long for this machine's addresses.
    fn of(connection: &Connection, file: &File) -> Option<Self> {
        // More than nothing has SQLite ask for pages; where they are it does not care.
        let allowed: i64 = connection
            .query_row("PRAGMA mmap_size=65536", [], |row| row.get(0))
            .ok()?;
        // SAFETY: nobody changes the file, the caller says.
        let content = unsafe { Mmap::map(file) }.ok()?;
        (allowed > 0).then(|| Self {
            touched: vec![false; content.len().div_ceil(BLOCK)],
            content,
            blocks: 0,
        })
    }

    /// The `length` bytes at `offset`; null past the end, which SQLite reads in the usual way.
    fn page(&mut self, offset: usize, length: usize) -> *mut c_void {
        let Some(page) = self.content.get(offset..).and_then(|rest| rest.get(..length)) else {
            return std::ptr::null_mut();
        };
        let page = page.as_ptr().cast_mut().cast();
        if !std::mem::replace(&mut self.touched[offset / BLOCK], true) {
            self.blocks += 1;
            if self.blocks > MOST {
                self.let_go();
            }
        }
        page
    }

    fn let_go(&mut self) {
        self.touched.fill(false);
        self.blocks = 0;
        // SAFETY: it is a mapping of a file that nobody changes: its pages read the same when they are touched again, also
        // those that are in use. Where it fails, they stay in memory.
        let _ = unsafe { self.content.unchecked_advise(UncheckedAdvice::DontNeed) };
    }
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    offset: ffi::sqlite3_int64,
    length: c_int,
    page: *mut *mut c_void,
) -> c_int {
    // SAFETY: `mapped` has put this function where SQLite calls it; `page` points to the answer.
    unsafe { *page = state::<Mapping>(file).page(offset as usize, length as usize) };
    ffi::SQLITE_OK
}

/// What SQLite does not need any more stays where it is.
unsafe extern "C" fn unfetch(_: *mut ffi::sqlite3_file, _: ffi::sqlite3_int64, _: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::systems_sqlite::adopt_the_systems_sqlite;
    use super::*;

    /// More than is mapped at once.
    const LENGTH: usize = (MOST + 64) * BLOCK;

    fn database(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; CREATE TABLE items (content);
                 WITH RECURSIVE rows(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM rows WHERE n < {})
                 INSERT INTO items SELECT zeroblob(3000) FROM rows;
                 PRAGMA wal_checkpoint(TRUNCATE)",
                LENGTH / 3000
            ))
            .unwrap();
        connection
    }

    fn problems(connection: &Connection) -> String {
        connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap()
    }

    /// What of the file of that name is mapped and in memory, in bytes, where it is mapped at all.
    fn resident(name: &str) -> Option<usize> {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines = maps.lines().skip_while(|line| !line.ends_with(name));
        let kilobytes = lines.find_map(|line| line.strip_prefix("Rss:"))?;
        Some(kilobytes.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
    }

    #[test]
    fn all_of_it_is_read_where_it_is_and_little_kept() {
        if !adopt_the_systems_sqlite() {
            println!("left out: there is no libsqlite3.so.0 here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.sqlite3");
        let connection = database(&path);
        let file = File::options().read(true).write(true).open(&path).unwrap();
        mapped(&connection, &file, || {
            assert_eq!(problems(&connection), "ok");
            let resident = resident("large.sqlite3").expect("mapped");
            assert!(resident > 0 && resident <= (MOST + 1) * BLOCK, "{resident}");
        });
        assert_eq!(resident("large.sqlite3"), None);
        assert_eq!(problems(&connection), "ok");
    }
}
