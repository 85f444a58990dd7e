//! Makes room in the WAL for the frames that the worker will write, before requests wait.
//!
//! When a file grows, the kernel has to find memory for each new page. That would make requests wait longer for the
//! write. So the worker extends the file, and reads the new range into the page cache.
//!
//! SQLite reads a WAL up to the first frame that does not have the salt of the WAL's header. Zeros do not have it, and
//! neither do the old frames that SQLite leaves there when it starts the WAL over.

use std::fs::{File, OpenOptions};
use std::mem::ManuallyDrop;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use nix::sys::resource::{getrlimit, Resource};

use super::transaction::Transaction;
use crate::error::{Context, Result};
use crate::sidecar::sidecars;
use crate::worker::live::Live;
use crate::worker::sqlite::wal_index::{LogIndex, LOG_HEADER};

/// The most room that is made, in bytes. The WAL keeps its length, even if nothing is written in the end.
const MOST: u64 = 64 * 1024 * 1024;
/// How much is read at a time, in bytes.
const AT_ONCE: usize = 1024 * 1024;

/// Makes room for `bytes` after the last frame. Does nothing if another process is writing.
pub(super) fn make(live: &Live, page_size: u32, bytes: u64) -> Result<()> {
    let extending = "cannot extend the WAL";
    let mut files = sidecars(live.path());
    let (Some(log), Some(index)) = (files.next(), files.next()) else {
        return Ok(());
    };
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let log = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(&log);
    let log = log.context(extending)?;
    // Stays open until the process ends, because closing it would drop SQLite's locks.
    let index = ManuallyDrop::new(File::open(&index).context(extending)?);

    // Meanwhile, no process appends frames, and none starts the WAL over.
    let Some(transaction) = Transaction::begin(live.connection())? else {
        return Ok(());
    };
    let length = log.metadata().context(extending)?.len();
    let from = LogIndex::read(&index)
        .context(extending)?
        .next_frame(page_size.into());
    let to = from + bytes.min(MOST);
    // A longer file would end the worker with SIGXFSZ.
    let limit = getrlimit(Resource::RLIMIT_FSIZE).map_or(0, |(soft, _)| soft);
    // A program that copies the WAL may not know one that has no header.
    if (LOG_HEADER..to).contains(&length) && to <= limit {
        log.set_len(to).context(extending)?;
    }
    drop(transaction);

    let mut part = vec![0; AT_ONCE];
    let mut at = from;
    while at < to {
        match log.read_at(&mut part, at).context("cannot read the WAL")? {
            0 => break,
            more => at += more as u64,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use rusqlite::Connection;

    use super::*;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    const ROOM: u64 = 1 << 20;
    const NOTE: &str = "INSERT INTO notes VALUES ('a note')";

    /// A live database, a connection of the application, and one of the worker.
    struct Database {
        folder: tempfile::TempDir,
        application: Connection,
        live: Live,
    }

    impl Database {
        /// `statements` come after the table is made.
        fn open(statements: &str) -> Self {
            assert!(adopt_the_systems_sqlite());
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("live");
            let application = Connection::open(&path).unwrap();
            let mode = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0";
            application
                .execute_batch(&format!("{mode}; CREATE TABLE notes (text); {statements}"))
                .unwrap();
            let live = Live::require(&path).unwrap();
            live.connection().busy_timeout(Duration::ZERO).unwrap();
            Self {
                folder,
                application,
                live,
            }
        }

        fn write(&self, statements: &str) {
            self.application.execute_batch(statements).unwrap();
        }

        /// Makes room, and returns the length of the WAL.
        fn make(&self) -> u64 {
            make(&self.live, 4096, ROOM).unwrap();
            self.length()
        }

        fn length(&self) -> u64 {
            fs::metadata(self.folder.path().join("live-wal")).unwrap().len()
        }
    }

    fn notes(connection: &Connection) -> i64 {
        let count = "SELECT count(*) FROM notes";
        connection.query_row(count, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn the_room_is_after_the_frames_and_no_recovery_takes_it_for_one() {
        let database = Database::open(NOTE);
        let frames = database.length();
        assert_eq!(database.make(), frames + ROOM);
        assert_eq!(database.make(), frames + ROOM);
        database.write(NOTE);

        // Without the WAL index, SQLite reads the whole WAL.
        let copy = tempfile::tempdir().unwrap();
        for name in ["live", "live-wal"] {
            fs::copy(database.folder.path().join(name), copy.path().join(name)).unwrap();
        }
        assert_eq!(notes(&Connection::open(copy.path().join("live")).unwrap()), 2);
        assert_eq!(notes(&database.application), 2);
    }

    #[test]
    fn a_log_that_starts_over_has_its_room_at_the_start() {
        let database = Database::open(&format!("{NOTE}; PRAGMA wal_checkpoint"));
        assert_eq!(database.make(), LOG_HEADER + ROOM);
    }

    #[test]
    fn a_log_without_a_header_stays_as_it_is() {
        assert_eq!(Database::open("PRAGMA wal_checkpoint(TRUNCATE)").make(), 0);
    }

    #[test]
    fn a_log_that_a_process_is_writing_stays_as_it_is() {
        let database = Database::open(NOTE);
        let frames = database.length();
        database.write("BEGIN IMMEDIATE");
        assert_eq!(database.make(), frames);
    }
}
