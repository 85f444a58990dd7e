//! The file that SQLite checks, read where it lies in the page cache instead of copied from there.
//!
//! With `mmap_size` a check takes two thirds of the time: it reads every page at least twice, and a call of the
//! system and a copy cost as much as what it does with the page. But what is mapped counts as memory of this
//! process once it was touched, and a check touches all of it. So what it touches is noted as SQLite asks for it,
//! and let go in portions: that takes it out of our memory and not out of the page cache.
//!
//! A disk that fails to read a mapped page ends the process with SIGBUS instead of an error. It costs this push,
//! as any end of a worker does; the bytes were written by this very process a moment ago.

use std::ffi::{c_int, c_void};

use rusqlite::{ffi, Connection};

use super::file_methods::{main_file, replaced, FileMethods};

/// What the kernel maps at a touch, in bytes: its neighbours come along. More where it [keeps](super::staged::PIECE) the
/// file in larger pages.
const BLOCK: u64 = 64 * 1024;
/// How many blocks may be mapped: 24 MB.
const MOST: usize = 384;

/// Runs `work`, which reads the main database of `connection`, a file of `length` bytes that nobody changes, with
/// the file mapped where SQLite can do that.
pub fn mapped<T>(connection: &Connection, length: u64, work: impl FnOnce() -> T) -> T {
    let Some(mapping) = map(connection, length) else {
        return work();
    };
    let _methods = FileMethods::of(connection, mapping, |ours| ours.xFetch = Some(fetch));
    work()
}

/// Has SQLite map as much of the file as its build allows, as soon as it wants a page.
fn map(connection: &Connection, length: u64) -> Option<Mapping> {
    let allowed: i64 = connection
        .query_row(&format!("PRAGMA mmap_size={length}"), [], |row| row.get(0))
        .ok()?;
    let length = length.min(u64::try_from(allowed).ok()?);
    // SAFETY: the file is open for as long as the connection, and an open file has methods.
    let methods = unsafe { (*main_file(connection)).pMethods.as_ref()? };
    (methods.iVersion >= 3 && methods.xFetch.is_some()).then(|| Mapping {
        begin: std::ptr::null_mut(),
        length: usize::try_from(length).unwrap_or(usize::MAX),
        touched: vec![false; length.div_ceil(BLOCK) as usize],
        blocks: 0,
    })
}

/// Where SQLite has mapped a file that keeps its length.
struct Mapping {
    /// As the last page told. SQLite maps the file anew when it likes, as with the first transaction of a file that has
    /// a log, and what is in the old place then may be anybody's.
    begin: *mut c_void,
    length: usize,
    /// By block.
    touched: Vec<bool>,
    blocks: usize,
}

impl Mapping {
    /// Notes that SQLite has the mapped `page` at `offset` of the file, in this very moment.
    fn touch(&mut self, page: *mut c_void, offset: u64) {
        let begin = page.wrapping_byte_sub(offset as usize);
        if begin != self.begin {
            self.begin = begin;
            self.forget();
        }
        let Some(touched) = self.touched.get_mut((offset / BLOCK) as usize) else {
            return;
        };
        if !std::mem::replace(touched, true) {
            self.blocks += 1;
            if self.blocks > MOST {
                self.let_go();
            }
        }
    }

    fn let_go(&mut self) {
        self.forget();
        // SAFETY: the region is a mapping of a file, from which SQLite has just taken a page. Nobody writes to it, so
        // its pages read the same when they are touched again, also those that are in use.
        unsafe { libc::madvise(self.begin, self.length, libc::MADV_DONTNEED) };
    }

    fn forget(&mut self) {
        self.touched.fill(false);
        self.blocks = 0;
    }
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    offset: ffi::sqlite3_int64,
    length: c_int,
    page: *mut *mut c_void,
) -> c_int {
    // SAFETY: `mapped` has put this function where SQLite calls it, in the place of one that was there; the arguments
    // are passed on as they came, and `page` points to the answer.
    unsafe {
        let (mapping, theirs) = replaced::<Mapping>(file);
        let Some(theirs) = theirs.xFetch else {
            return ffi::SQLITE_ERROR;
        };
        let code = theirs(file, offset, length, page);
        // Null: SQLite reads this page in the usual way.
        if code == ffi::SQLITE_OK && !(*page).is_null() {
            mapping.touch(*page, offset as u64);
        }
        code
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::systems_sqlite::adopt_the_systems_sqlite;
    use super::*;

    /// More than is mapped at once.
    const LENGTH: usize = (MOST + 64) * BLOCK as usize;

    fn database(folder: &Path) -> Connection {
        let connection = Connection::open(folder.join("large.sqlite3")).unwrap();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = WAL; CREATE TABLE items (content);
                 WITH RECURSIVE rows(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM rows WHERE n < {})
                 INSERT INTO items SELECT zeroblob(3000) FROM rows",
                LENGTH / 3000
            ))
            .unwrap();
        connection
    }

    fn read_all(connection: &Connection) {
        let sound: String = connection
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok");
    }

    /// Where the kernel has the file of that name mapped, if it has.
    fn place(name: &str) -> Option<usize> {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = maps.lines().find(|line| line.ends_with(name))?;
        usize::from_str_radix(line.split('-').next()?, 16).ok()
    }

    #[test]
    fn what_is_where_sqlite_had_the_file_before_is_left_alone() {
        if !adopt_the_systems_sqlite() {
            println!("left out: there is no libsqlite3.so.0 here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let connection = database(folder.path());
        let length = std::fs::metadata(folder.path().join("large.sqlite3"))
            .unwrap()
            .len();
        mapped(&connection, length, || {
            read_all(&connection);
            let place = place("large.sqlite3").expect("mapped");
            connection
                .query_row("PRAGMA mmap_size = 0", [], |_| Ok(()))
                .unwrap();
            // SAFETY: a new mapping, and only where there is none.
            let ours = unsafe {
                libc::mmap(
                    place as *mut c_void,
                    LENGTH,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                    -1,
                    0,
                )
            };
            assert_eq!(ours as usize, place);
            // SAFETY: it was mapped a moment ago, as long and to be written.
            let ours = unsafe { std::slice::from_raw_parts_mut(ours.cast::<u8>(), LENGTH) };
            ours.fill(1);
            connection
                .query_row(&format!("PRAGMA mmap_size = {length}"), [], |_| Ok(()))
                .unwrap();
            read_all(&connection);
            assert!(ours.iter().all(|byte| *byte == 1));
        });
    }
}
