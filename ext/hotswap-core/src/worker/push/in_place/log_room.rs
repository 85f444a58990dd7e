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
    use std::path::Path;

    use rusqlite::Connection;

    use super::*;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    const ROOM: u64 = 1 << 20;

    fn length(path: &Path) -> u64 {
        fs::metadata(path).unwrap().len()
    }

    fn rows(path: &Path) -> i64 {
        let connection = Connection::open(path).unwrap();
        connection
            .query_row("SELECT count(*) FROM notes", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn the_room_is_after_the_frames_and_no_recovery_takes_it_for_one() {
        assert!(adopt_the_systems_sqlite());
        let folder = tempfile::tempdir().unwrap();
        let [path, log] = ["live", "live-wal"].map(|name| folder.path().join(name));
        let application = Connection::open(&path).unwrap();
        application
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE notes (text)",
            )
            .unwrap();
        let note = "INSERT INTO notes VALUES ('a note')";
        application.execute_batch(note).unwrap();
        let frames = length(&log);
        let live = Live::require(&path).unwrap();

        make(&live, 4096, ROOM).unwrap();
        assert_eq!(length(&log), frames + ROOM);
        make(&live, 4096, ROOM).unwrap();
        assert_eq!(length(&log), frames + ROOM);
        application.execute_batch(note).unwrap();

        // Without the WAL index, SQLite reads the whole WAL.
        let copy = tempfile::tempdir().unwrap();
        for name in ["live", "live-wal"] {
            fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
        }
        assert_eq!(rows(&copy.path().join("live")), 2);
        assert_eq!(rows(&path), 2);
    }

    #[test]
    fn a_log_without_a_header_or_with_a_writer_stays_as_it_is() {
        assert!(adopt_the_systems_sqlite());
        let folder = tempfile::tempdir().unwrap();
        let [path, log] = ["live", "live-wal"].map(|name| folder.path().join(name));
        let application = Connection::open(&path).unwrap();
        application
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE notes (text); PRAGMA wal_checkpoint(TRUNCATE)",
            )
            .unwrap();
        let live = Live::require(&path).unwrap();
        live.connection().busy_timeout(std::time::Duration::ZERO).unwrap();

        make(&live, 4096, ROOM).unwrap();
        assert_eq!(length(&log), 0);
        let note = "INSERT INTO notes VALUES ('a note')";
        application.execute_batch(note).unwrap();
        let frames = length(&log);
        application.execute_batch("BEGIN IMMEDIATE").unwrap();
        make(&live, 4096, ROOM).unwrap();
        assert_eq!(length(&log), frames);
    }
}
