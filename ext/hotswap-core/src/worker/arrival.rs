//! A file that SQLite reads while it is being copied: it waits for what has not come yet.
//!
//! A check takes longer than the copy, and goes through a file from its beginning to its end, more or less. So it
//! begins with the first bytes and is over soon after the last, instead of beginning there. What it says is said of
//! the same bytes: those that have come are not written again.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::{ffi, Connection};

use super::file_methods::FileMethods;

/// How far one file has come.
#[derive(Debug)]
pub struct Arrival {
    length: u64,
    come: AtomicU64,
    over: Mutex<bool>,
    news: Condvar,
}

impl Arrival {
    /// Of a file that is going to be `length` bytes long, of which none has come.
    pub fn of(length: u64) -> Arc<Self> {
        Arc::new(Self {
            length,
            come: AtomicU64::new(0),
            over: Mutex::new(false),
            news: Condvar::new(),
        })
    }

    /// The first `bytes` have come.
    pub fn reached(&self, bytes: u64) {
        let _over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        self.come.store(bytes, Ordering::Release);
        self.news.notify_all();
    }

    /// Nothing more comes: who waits for more gets an error, which a check may take for damage.
    pub fn end(&self) {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.news.notify_all();
    }

    /// Whether all bytes have come.
    pub fn is_complete(&self) -> bool {
        self.come.load(Ordering::Acquire) >= self.length
    }

    /// Whether everything has come that ever will.
    pub fn is_over(&self) -> bool {
        *self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the bytes before `end`. False where they do not come.
    fn wait_for(&self, end: u64) -> bool {
        let end = end.min(self.length);
        let there = || self.come.load(Ordering::Acquire) >= end;
        if there() {
            return true;
        }
        let over = self.over.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.news.wait_while(over, |over| !*over && !there());
        drop(over);
        there()
    }
}

type Arriving = (Arc<Arrival>, *const ffi::sqlite3_io_methods);

thread_local! {
    /// What the file that this thread's SQLite reads waits for, and how it is read then.
    static CURRENT: RefCell<Option<Arriving>> = const { RefCell::new(None) };
}

/// Runs `work`, in which the main database of `connection` is read as it arrives. The bytes that SQLite reads as it
/// opens a file have to be there already.
pub fn as_it_arrives<T>(connection: &Connection, arrival: &Arc<Arrival>, work: impl FnOnce() -> T) -> T {
    let methods = FileMethods::of(connection, |ours| {
        ours.xRead = Some(read);
        if ours.iVersion >= 3 && ours.xFetch.is_some() {
            ours.xFetch = Some(fetch);
        }
    });
    CURRENT.with(|current| current.replace(Some((arrival.clone(), methods.theirs()))));
    let done = work();
    drop(methods);
    CURRENT.take();
    done
}

/// Waits; then says how the file is read, unless the rest of it does not come.
fn arrived(offset: ffi::sqlite3_int64, length: c_int) -> Option<*const ffi::sqlite3_io_methods> {
    CURRENT.with_borrow(|current| {
        let (arrival, theirs) = current.as_ref()?;
        arrival.wait_for(offset as u64 + length as u64).then_some(*theirs)
    })
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    length: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: a table of functions that lives as long as the library.
    match arrived(offset, length).and_then(|theirs| unsafe { (*theirs).xRead }) {
        // SAFETY: passed on as they came.
        Some(theirs) => unsafe { theirs(file, buffer, length, offset) },
        None => ffi::SQLITE_IOERR_READ,
    }
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    offset: ffi::sqlite3_int64,
    length: c_int,
    page: *mut *mut c_void,
) -> c_int {
    // SAFETY: a table of functions that lives as long as the library.
    match arrived(offset, length).and_then(|theirs| unsafe { (*theirs).xFetch }) {
        // SAFETY: passed on as they came.
        Some(theirs) => unsafe { theirs(file, offset, length, page) },
        None => ffi::SQLITE_IOERR_MMAP,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;
    use std::time::Duration;

    use super::super::systems_sqlite::adopt_the_systems_sqlite;
    use super::*;

    fn database(folder: &std::path::Path) -> Vec<u8> {
        let path = folder.join("whole.sqlite3");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
                 INSERT INTO items (name) SELECT hex(randomblob(20)) FROM n;
                 CREATE INDEX names ON items (name);",
            )
            .unwrap();
        connection.close().unwrap();
        std::fs::read(path).unwrap()
    }

    fn check(path: &std::path::Path, arrival: &Arc<Arrival>) -> rusqlite::Result<String> {
        let connection = Connection::open(path).unwrap();
        as_it_arrives(&connection, arrival, || {
            connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))
        })
    }

    /// Copies in steps, of which each waits for the reader to have come to the end of the one before.
    fn while_copying(upto: impl Fn(usize) -> usize) -> rusqlite::Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let whole = database(folder.path());
        let path = folder.path().join("copy.sqlite3");
        let copy = std::fs::File::create(&path).unwrap();
        copy.set_len(whole.len() as u64).unwrap();
        let step = whole.len() / 20;
        copy.write_all_at(&whole[..step], 0).unwrap();
        let arrival = Arrival::of(whole.len() as u64);
        arrival.reached(step as u64);
        std::thread::scope(|scope| {
            let checking = scope.spawn(|| check(&path, &arrival));
            for at in (step..upto(whole.len())).step_by(step) {
                std::thread::sleep(Duration::from_millis(2));
                let end = (at + step).min(whole.len());
                copy.write_all_at(&whole[at..end], at as u64).unwrap();
                arrival.reached(end as u64);
            }
            arrival.end();
            checking.join().unwrap()
        })
    }

    #[test]
    fn what_is_read_before_it_has_come_is_waited_for() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        assert_eq!(while_copying(|length| length).unwrap(), "ok");
    }

    #[test]
    fn what_does_not_come_ends_the_reading() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        assert_ne!(while_copying(|length| length / 2), Ok("ok".into()));
    }
}
