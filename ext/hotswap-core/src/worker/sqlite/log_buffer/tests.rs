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
        .query_row(
            "SELECT (SELECT integrity_check FROM pragma_integrity_check), count(DISTINCT number) FROM items",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((verdict.as_str(), kinds), ("ok", 1));
}
