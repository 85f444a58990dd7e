//! Gathers what a transaction writes into the WAL, so that it goes there in a few large writes.
//!
//! SQLite writes each frame with two calls. While requests wait, these calls take longer than everything that SQLite
//! does in between. So for one transaction, this buffer stands between SQLite and the methods of its WAL file:
//!
//! - What SQLite reads back, such as a page that had to leave its cache, comes from the buffer.
//! - At the commit, SQLite syncs the WAL (`synchronous=FULL` or more), before it tells other connections about the
//!   frames. Right then the buffer goes into the file. If that fails, SQLite gets the error, and rolls back.
//! - The commit mark is in the last frame, and so in the last write. If this process is killed before that, the WAL has
//!   no commit.
//! - After the commit, nothing is gathered any more.

#[cfg(test)]
mod tests;

use std::ffi::{c_int, c_void};

use rusqlite::{ffi, Connection};

use super::vfs;

/// How much is gathered, in bytes. SQLite's own file system writes less than 128 KB at a time.
const CAPACITY: usize = 120 * 1024;

/// When a commit becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// When SQLite commits.
    AtCommit,
    /// When the caller syncs the WAL.
    Later,
}

/// A buffer in front of the WAL of a connection. Dropping it restores the methods of the file, and discards what no
/// commit has written.
#[derive(Debug)]
pub(crate) struct LogBuffer(*mut Methods);

/// The methods that SQLite calls instead of those of the file itself.
#[repr(C)]
struct Methods {
    /// First, because SQLite's pointer to it is how [`of`] finds the rest.
    ours: ffi::sqlite3_io_methods,
    theirs: *const ffi::sqlite3_io_methods,
    /// Null when the file is closed.
    file: *mut ffi::sqlite3_file,
    durable: Durable,
    /// The bytes from the offset `start` on that are not in the file yet.
    bytes: Vec<u8>,
    start: i64,
    /// The offset of the last write.
    last: i64,
    committed: bool,
    /// SQLite's code for the first write that failed, or `SQLITE_OK`.
    failed: c_int,
}

impl LogBuffer {
    /// Puts a buffer in front of the WAL, for one transaction. `None` if the connection has no WAL, if it does not sync
    /// its commits, or if its files are not those of SQLite's own file system.
    pub(crate) fn begin(connection: &Connection, durable: Durable) -> Option<Self> {
        const FULL: i64 = 2;
        let text = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let mode = connection.query_row("PRAGMA main.journal_mode", [], text).ok()?;
        let level: i64 = connection
            .query_row("PRAGMA main.synchronous", [], |row| row.get(0))
            .ok()?;
        if mode != "wal" || level < FULL || !vfs::is_sqlites_own(connection) {
            return None;
        }
        let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
        // SAFETY: the connection is open. With a WAL, SQLite writes a pointer to the file of the WAL. It has one,
        // because the first query has read the database, and keeps it until it closes it.
        unsafe {
            let op = ffi::SQLITE_FCNTL_JOURNAL_POINTER;
            let out = std::ptr::from_mut(&mut file).cast::<c_void>();
            let code = ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), op, out);
            let theirs = file.as_ref().filter(|_| code == ffi::SQLITE_OK)?.pMethods;
            let ours = ffi::sqlite3_io_methods {
                // Later versions have methods that would bypass the buffer. SQLite uses none of them on a WAL.
                iVersion: 1,
                xClose: Some(close),
                xRead: Some(read),
                xWrite: Some(write),
                xTruncate: Some(truncate),
                xSync: Some(sync),
                xFileSize: Some(file_size),
                ..*theirs.as_ref()?
            };
            let methods = Box::into_raw(Box::new(Methods {
                ours,
                theirs,
                file,
                durable,
                bytes: Vec::with_capacity(CAPACITY),
                start: 0,
                last: -1,
                committed: false,
                failed: ffi::SQLITE_OK,
            }));
            (*file).pMethods = methods.cast();
            Some(Self(methods))
        }
    }
}

impl Drop for LogBuffer {
    fn drop(&mut self) {
        // SAFETY: this value owns the methods, and SQLite has not closed the file unless it has said so.
        unsafe {
            let methods = Box::from_raw(self.0);
            if let Some(file) = methods.file.as_mut() {
                file.pMethods = methods.theirs;
            }
        }
    }
}

impl Methods {
    fn end(&self) -> i64 {
        self.start + self.bytes.len() as i64
    }

    /// Whether these bytes of the file are not in the buffer, not even partly.
    fn is_elsewhere(&self, length: usize, at: i64) -> bool {
        at + length as i64 <= self.start || at >= self.end()
    }

    /// Writes what is gathered into the file. After a failure, the transaction cannot write or commit any more: SQLite
    /// believes that what was lost is in the file.
    fn flush(&mut self) -> c_int {
        if self.failed == ffi::SQLITE_OK && !self.bytes.is_empty() {
            self.failed = self.write_through(&self.bytes, self.start);
            self.bytes.clear();
        }
        self.failed
    }

    fn write_through(&self, bytes: &[u8], at: i64) -> c_int {
        // SAFETY: the file is open, and its own methods know it. The buffer is far smaller than the largest length.
        unsafe {
            let write = (*self.theirs).xWrite.expect("every file is written");
            write(self.file, bytes.as_ptr().cast(), bytes.len() as c_int, at)
        }
    }

    fn write(&mut self, bytes: &[u8], at: i64) -> c_int {
        if self.failed != ffi::SQLITE_OK {
            return self.failed;
        }
        self.last = at;
        // An earlier frame of this transaction.
        let before = at + bytes.len() as i64 <= self.start;
        if self.committed || bytes.len() > CAPACITY || (before && !self.bytes.is_empty()) {
            return match self.is_elsewhere(bytes.len(), at) {
                true => self.write_through(bytes, at),
                false => then(self.flush(), || self.write_through(bytes, at)),
            };
        }
        let follows = (self.start..=self.end()).contains(&at);
        if !follows || (at - self.start) as usize + bytes.len() > CAPACITY {
            let code = self.flush();
            if code != ffi::SQLITE_OK {
                return code;
            }
        }
        if self.bytes.is_empty() {
            self.start = at;
        }
        let begin = (at - self.start) as usize;
        let there = (self.bytes.len() - begin).min(bytes.len());
        let (over, new) = bytes.split_at(there);
        self.bytes[begin..begin + there].copy_from_slice(over);
        self.bytes.extend_from_slice(new);
        ffi::SQLITE_OK
    }

    /// Reads from the buffer, if it has all of it.
    fn read(&self, out: &mut [u8], at: i64) -> bool {
        let has_it = at >= self.start && at + out.len() as i64 <= self.end();
        if has_it {
            let begin = (at - self.start) as usize;
            out.copy_from_slice(&self.bytes[begin..begin + out.len()]);
        }
        has_it
    }

    /// Whether this is the sync of the commit, and the caller makes the commit durable. The header comes first, and has
    /// to be durable before the frames.
    fn may_skip_sync(&mut self) -> bool {
        if self.committed || self.last <= 0 {
            return false;
        }
        self.committed = true;
        self.durable == Durable::Later
    }
}

fn then(code: c_int, next: impl FnOnce() -> c_int) -> c_int {
    match code {
        ffi::SQLITE_OK => next(),
        code => code,
    }
}

/// # Safety
///
/// `file` must have the methods of a [`LogBuffer`], and no other reference to them.
unsafe fn of<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Methods {
    // SAFETY: as the caller says.
    unsafe { &mut *(*file).pMethods.cast_mut().cast::<Methods>() }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite calls the method of an open file that has it, in one thread at a time. From here on the file has
    // its own methods. A transaction that is open now is rolled back.
    unsafe {
        let methods = of(file);
        methods.file = std::ptr::null_mut();
        (*file).pMethods = methods.theirs;
        let close = (*methods.theirs).xClose.expect("every file is closed");
        close(file)
    }
}

unsafe extern "C" fn read(file: *mut ffi::sqlite3_file, out: *mut c_void, length: c_int, at: i64) -> c_int {
    // SAFETY: as in `close`; SQLite has room for as many bytes.
    unsafe {
        let methods = of(file);
        let bytes = std::slice::from_raw_parts_mut(out.cast::<u8>(), length as usize);
        if methods.read(bytes, at) {
            return ffi::SQLITE_OK;
        }
        let code = match methods.is_elsewhere(bytes.len(), at) {
            true => ffi::SQLITE_OK,
            false => methods.flush(),
        };
        let read = (*methods.theirs).xRead.expect("every file is read");
        then(code, || read(file, out, length, at))
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    at: i64,
) -> c_int {
    // SAFETY: as in `close`; SQLite has as many bytes.
    unsafe {
        let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize);
        of(file).write(bytes, at)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: as in `close`.
    unsafe {
        let methods = of(file);
        let truncate = (*methods.theirs).xTruncate.expect("every file is truncated");
        then(methods.flush(), || truncate(file, length))
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: as in `close`.
    unsafe {
        let methods = of(file);
        let code = methods.flush();
        if code != ffi::SQLITE_OK || methods.may_skip_sync() {
            return code;
        }
        let sync = (*methods.theirs).xSync.expect("every file is synced");
        sync(file, flags)
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, out: *mut i64) -> c_int {
    // SAFETY: as in `close`; SQLite has room for the size.
    unsafe {
        let methods = of(file);
        let size = (*methods.theirs).xFileSize.expect("every file has a size");
        then(methods.flush(), || size(file, out))
    }
}
