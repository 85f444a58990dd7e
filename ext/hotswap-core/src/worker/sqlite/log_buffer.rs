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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::testing::ignored_test;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    const ALL: &str = "SELECT count(*), sum(id * number), sum(length(text)) FROM items";
    /// More than the cache holds, twice, with a savepoint that is rolled back in between.
    const CHANGES: &str = "
        UPDATE items SET number = number + 1, text = hex(zeroblob(abs(random()) % 300));
        SAVEPOINT half; DELETE FROM items WHERE id % 3; INSERT INTO items (number, text) SELECT id, text FROM items; ROLLBACK TO half;
        UPDATE items SET number = number + 1 WHERE id % 7 = 0;
        INSERT INTO items (number, text) SELECT number, text FROM items WHERE id % 5 = 0;
        UPDATE items SET text = number || text";

    struct Database {
        folder: tempfile::TempDir,
        writer: Connection,
    }

    impl Database {
        fn new(page_size: u32) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let writer = Connection::open(folder.path().join("live")).unwrap();
            writer
                .execute_batch(&format!(
                    "PRAGMA page_size = {page_size}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
                     PRAGMA cache_size = 10; PRAGMA synchronous = FULL;
                     CREATE TABLE items (id INTEGER PRIMARY KEY, number, text); CREATE INDEX by_number ON items (number);
                     WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                     INSERT INTO items SELECT i, 0, hex(zeroblob(100)) FROM n"
                ))
                .unwrap();
            Self { folder, writer }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("live")
        }

        fn buffer(&self, durable: Durable) -> LogBuffer {
            LogBuffer::begin(&self.writer, durable).unwrap()
        }

        fn rows(&self) -> [i64; 3] {
            rows(&Connection::open(self.path()).unwrap())
        }

        /// What is there if every process is killed now.
        fn rows_if_killed(&self) -> [i64; 3] {
            let folder = tempfile::tempdir().unwrap();
            for name in ["live", "live-wal"] {
                std::fs::copy(self.folder.path().join(name), folder.path().join(name)).unwrap();
            }
            let connection = Connection::open(folder.path().join("live")).unwrap();
            let verdict: String = connection
                .query_row("PRAGMA integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(verdict, "ok");
            rows(&connection)
        }
    }

    fn rows(connection: &Connection) -> [i64; 3] {
        connection
            .query_row(ALL, [], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
            .unwrap()
    }

    #[test]
    fn a_commit_is_seen_when_all_of_it_is_in_the_file() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        for page_size in [512, 4096, 65536] {
            let database = Database::new(page_size);
            for (round, durable) in [Durable::Later, Durable::AtCommit, Durable::Later]
                .into_iter()
                .enumerate()
            {
                if round == 2 {
                    // The WAL starts over, and is cut off at the commit.
                    let over = "PRAGMA journal_size_limit = 0; PRAGMA wal_checkpoint(RESTART)";
                    database.writer.execute_batch(over).unwrap();
                }
                let before = database.rows();
                let buffer = database.buffer(durable);
                database.writer.execute_batch("BEGIN IMMEDIATE").unwrap();
                database.writer.execute_batch(CHANGES).unwrap();
                let inside = rows(&database.writer);
                assert_ne!(inside, before);
                assert_eq!([database.rows(), database.rows_if_killed()], [before; 2]);
                database.writer.execute_batch("COMMIT").unwrap();
                assert_eq!([database.rows(), database.rows_if_killed()], [inside; 2]);
                // Later transactions write as ever.
                database
                    .writer
                    .execute_batch("DELETE FROM items WHERE id = 1")
                    .unwrap();
                let after = rows(&database.writer);
                assert_eq!([database.rows(), database.rows_if_killed()], [after; 2]);
                drop(buffer);
                database
                    .writer
                    .execute_batch("INSERT INTO items (id) VALUES (1)")
                    .unwrap();
                assert_eq!(database.rows(), database.rows_if_killed());
            }
        }
    }

    #[test]
    fn what_is_rolled_back_leaves_nothing() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let database = Database::new(4096);
        let before = database.rows();
        for end in ["ROLLBACK", "BEGIN; COMMIT"] {
            let buffer = database.buffer(Durable::Later);
            database
                .writer
                .execute_batch(&format!("BEGIN; {CHANGES}"))
                .unwrap();
            if end != "ROLLBACK" {
                database.writer.execute_batch("ROLLBACK").unwrap();
            }
            database.writer.execute_batch(end).unwrap();
            drop(buffer);
            assert_eq!(
                [database.rows(), rows(&database.writer), database.rows_if_killed()],
                [before; 3]
            );
        }
        let buffer = database.buffer(Durable::Later);
        database
            .writer
            .execute_batch(&format!("BEGIN; {CHANGES}"))
            .unwrap();
        let path = database.path();
        // The connection may go first.
        database.writer.close().unwrap();
        drop(buffer);
        assert_eq!(rows(&Connection::open(path).unwrap()), before);
    }

    #[test]
    fn a_reader_beside_it_sees_whole_commits() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let database = Database::new(1024);
        let (path, over) = (database.path(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let reader = Connection::open(&path).unwrap();
                        loop {
                            let last = over.load(Ordering::Relaxed);
                            let numbers: (i64, i64, i64) = reader
                                .query_row(
                                    "SELECT min(number), max(number), count(*) FROM items NOT INDEXED",
                                    [],
                                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                                )
                                .unwrap();
                            assert_eq!((numbers.0, numbers.2), (numbers.1, 3000));
                            if last {
                                return numbers.0;
                            }
                        }
                    })
                })
                .collect();
            for _ in 0..100 {
                let _buffer = database.buffer(Durable::Later);
                let next = "BEGIN IMMEDIATE; UPDATE items SET number = number + 1; COMMIT";
                database.writer.execute_batch(next).unwrap();
            }
            over.store(true, Ordering::Relaxed);
            for reader in readers {
                assert_eq!(reader.join().unwrap(), 100);
            }
        });
    }

    static SYNCS: AtomicUsize = AtomicUsize::new(0);

    /// Counts the syncs of the WAL until the process ends.
    fn count_syncs(connection: &Connection) {
        unsafe extern "C" fn counted(_: *mut ffi::sqlite3_file, _: c_int) -> c_int {
            SYNCS.fetch_add(1, Ordering::Relaxed);
            ffi::SQLITE_OK
        }
        let buffer = LogBuffer::begin(connection, Durable::AtCommit).unwrap();
        // SAFETY: the buffer has the methods of an open file, which are copied.
        unsafe {
            let (file, theirs) = ((*buffer.0).file, *(*buffer.0).theirs);
            drop(buffer);
            let methods = ffi::sqlite3_io_methods {
                xSync: Some(counted),
                ..theirs
            };
            (*file).pMethods = Box::leak(Box::new(methods));
        }
    }

    #[test]
    fn only_one_commit_goes_without_a_sync() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let database = Database::new(4096);
        count_syncs(&database.writer);
        let syncs = |sql: &str| {
            let before = SYNCS.load(Ordering::Relaxed);
            database.writer.execute_batch(sql).unwrap();
            SYNCS.load(Ordering::Relaxed) - before
        };
        let change = "UPDATE items SET number = number + 1";
        for (durable, expected) in [(Durable::Later, 0), (Durable::AtCommit, 1)] {
            let buffer = database.buffer(durable);
            assert_eq!(syncs(change), expected, "{durable:?}");
            assert_eq!(syncs(change), 1);
            drop(buffer);
            assert_eq!(syncs(change), 1);
        }
        let restart = "PRAGMA wal_checkpoint(RESTART)";
        syncs(restart);
        // The header of a WAL that starts over has to be durable before its frames.
        let _buffer = database.buffer(Durable::Later);
        assert_eq!(syncs(change), 1);
        assert_eq!(syncs(change), 1);
    }

    #[test]
    fn a_database_without_such_a_log_has_no_buffer() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let database = Database::new(4096);
        database
            .writer
            .execute_batch("PRAGMA synchronous = NORMAL")
            .unwrap();
        assert!(LogBuffer::begin(&database.writer, Durable::Later).is_none());
        database
            .writer
            .execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE")
            .unwrap();
        assert!(LogBuffer::begin(&database.writer, Durable::Later).is_none());
        let memory = Connection::open_in_memory().unwrap();
        assert!(LogBuffer::begin(&memory, Durable::Later).is_none());
    }

    /// Runs in a process of its own, because the limit is for all files of the process.
    #[test]
    #[ignore = "runs within a_write_that_fails_fails_the_transaction"]
    fn with_a_limit() {
        use nix::sys::resource::{getrlimit, setrlimit, Resource};
        assert!(adopt_the_systems_sqlite());
        // SAFETY: the process ignores the signal for a file that would become too long, so that the write fails.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let database = Database::new(4096);
        let log = || {
            std::fs::metadata(database.folder.path().join("live-wal"))
                .unwrap()
                .len()
        };
        let before = database.rows();
        let (soft, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
        let limit = |length: u64| setrlimit(Resource::RLIMIT_FSIZE, length, hard).unwrap();
        let commit = "BEGIN; UPDATE items SET number = 1; COMMIT";
        // The first of them fits into the buffer. Of the second one, something has to go into the file before.
        for (sql, room) in [
            ("PRAGMA cache_size = 1000", 10_000),
            ("PRAGMA cache_size = 10", 200_000),
        ] {
            database.writer.execute_batch(sql).unwrap();
            let buffer = database.buffer(Durable::Later);
            limit(log() + room);
            database.writer.execute_batch(commit).unwrap_err();
            let _ = database.writer.execute_batch("ROLLBACK");
            limit(soft);
            drop(buffer);
            assert_eq!(
                [database.rows(), rows(&database.writer), database.rows_if_killed()],
                [before; 3]
            );
        }
        // A transaction that goes on after an error does not commit a part of it.
        let buffer = database.buffer(Durable::Later);
        limit(log() + 200_000);
        database.writer.execute_batch("BEGIN").unwrap();
        let _ = database.writer.execute_batch(CHANGES);
        limit(soft);
        if database
            .writer
            .execute_batch("UPDATE items SET number = 5 WHERE id = 1; COMMIT")
            .is_ok()
        {
            assert_eq!(rows(&database.writer)[0], before[0]);
        }
        drop(buffer);
        assert_eq!(
            [rows(&database.writer); 2],
            [database.rows(), database.rows_if_killed()]
        );
        database.writer.execute_batch(commit).unwrap();
        assert_eq!(database.rows(), database.rows_if_killed());
    }

    #[test]
    fn a_write_that_fails_fails_the_transaction() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let ran = ignored_test(module_path!(), "with_a_limit").output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    }

    /// Ends when it is killed.
    #[test]
    #[ignore = "runs within a_process_that_is_killed_leaves_whole_commits"]
    fn until_it_is_killed() {
        assert!(adopt_the_systems_sqlite());
        let path = std::env::var_os("HOTSWAP_TEST_DATABASE").unwrap();
        let writer = Connection::open(path).unwrap();
        let prepare = "PRAGMA synchronous = FULL; PRAGMA cache_size = 10; SELECT count(*) FROM items";
        writer
            .query_row("SELECT count(*) FROM items", [], |_| Ok(()))
            .unwrap();
        let _ = writer.execute_batch(prepare);
        loop {
            let _buffer = LogBuffer::begin(&writer, Durable::Later).unwrap();
            writer
                .execute_batch(
                    "BEGIN IMMEDIATE; UPDATE items SET number = number + 1, text = text || 'x'; COMMIT",
                )
                .unwrap();
        }
    }

    #[test]
    fn a_process_that_is_killed_leaves_whole_commits() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let database = Database::new(4096);
        let path = database.path();
        database.writer.close().unwrap();
        for nth in 0..10 {
            let mut process = ignored_test(module_path!(), "until_it_is_killed")
                .env("HOTSWAP_TEST_DATABASE", &path)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(std::time::Duration::from_millis(60 + 7 * nth));
            process.kill().unwrap();
            process.wait().unwrap();
            whole(&path);
        }
    }

    fn whole(path: &Path) {
        let connection = Connection::open(path).unwrap();
        let (verdict, kinds): (String, i64) = connection
            .query_row("SELECT (SELECT integrity_check FROM pragma_integrity_check), count(DISTINCT number) FROM items", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!((verdict.as_str(), kinds), ("ok", 1));
    }
}
