//! A consistent snapshot at the speed of a copy.
//!
//! A read transaction pins a state of the database; then the worker copies the raw files. In rollback mode the
//! shared lock keeps every writer away from the main file, which alone is the state. In WAL mode the state is the
//! main file, overlaid with the newest frame of each page up to the end of the WAL as the WAL index had it *after*
//! the transaction began:
//!
//! - The transaction's read mark keeps the WAL from being restarted, and keeps checkpoints from going past it. A mark
//!   of zero keeps them from writing to the main file at all. So everything committed at that time stays where it is.
//! - A page that a checkpoint is writing into the main file is also in the WAL, and is taken from there.
//!
//! [`direct_io`] has the loop that copies to a file.
//!
//! File descriptors: the raw ones are closed after SQLite's, because closing any other descriptor of a file drops
//! SQLite's locks.

mod direct_io;
mod hashes;
mod hashing;
mod pages;
pub(super) mod pin;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::content_id::ContentId;
use crate::error::{Context, Result};
use crate::sys::copy::reflink;
use crate::visible::Shown;
use crate::worker::client::Client;
use crate::worker::deadline::Deadline;
use crate::worker::sqlite::header::{DatabaseHeader, HEADER};

pub(super) use hashes::{Hashes, CHUNK};
pub(super) use hashing::{Chunks, Pace};
pub(super) use pages::Pages;

/// A pinned state of a database. Fields are dropped in this order: SQLite first. Closing the connection ends the read
/// transaction.
#[derive(Debug)]
pub(super) struct Snapshot {
    connection: Connection,
    pages: Pages,
}

impl Snapshot {
    /// Pins the committed state of the database at `path` (resolved), for as long as `client` waits for it: reading
    /// a damaged schema may take for ever.
    pub(super) fn take(path: &Path, client: &Client) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).on_path("cannot open", path)?;
        let deadline = Deadline::watch(&connection, client, None)?;
        Self::pin(connection, path).map_err(|error| deadline.explain(error))
    }

    fn pin(connection: Connection, path: &Path) -> Result<Self> {
        let reading = format!("cannot read {}", path.shown());
        connection
            .busy_timeout(Duration::from_secs(5))
            .context(&reading)?;
        connection.execute_batch("BEGIN").context(&reading)?;
        connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
            .context(&reading)?;
        let pages = Pages::of(&connection, path)?;
        Ok(Self { connection, pages })
    }

    /// The length of the snapshot, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.pages.len()
    }

    /// Whether the database is in WAL mode, so that the snapshot keeps no writer waiting.
    pub(super) fn has_log(&self) -> bool {
        self.pages.log.is_some()
    }

    /// Runs `copy`, which copies the snapshot and says how far it has come, and computes the identity of the snapshot
    /// at the same time.
    pub(super) fn identified<T>(&self, copy: impl FnOnce(&Pace) -> Result<T>) -> Result<(T, ContentId)> {
        hashing::alongside(&self.pages, &Hashes::default(), copy)
    }

    /// Runs `copy`, which gets the content of the snapshot from a thread that computes its identity.
    pub(super) fn hashed<T>(&self, copy: impl FnOnce(Chunks) -> Result<T>) -> Result<(T, ContentId)> {
        hashing::through(&self.pages, copy)
    }

    /// Makes `target`, an empty file, a copy that shares the blocks of the database, and puts the newer pages from the
    /// WAL into it. Returns false if the file system cannot share blocks.
    pub(super) fn share_with(
        &self,
        target: &File,
        mut copied: impl FnMut(u64) -> Result<()>,
    ) -> Result<bool> {
        if !reflink(&self.pages.main, target) {
            return Ok(false);
        }
        let writing = || "cannot write the snapshot".to_string();
        target.set_len(self.len()).context(writing())?;
        for newer in self.pages.newer(1) {
            let (number, page) = newer?;
            let at = (u64::from(number) - 1) * self.pages.size;
            target.write_all_at(&page, at).context(writing())?;
            if number % 256 == 0 {
                copied(at)?;
            }
        }
        copied(self.len())?;
        Ok(true)
    }

    /// Writes the snapshot from the byte `from` on to the same place in an empty file. `copied` gets the progress,
    /// and can stop the copy.
    pub(super) fn copy_to(
        &self,
        target: &File,
        from: u64,
        copied: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        direct_io::copy(&self.pages, target, from, copied)
    }

    /// Computes the identity of the snapshot. `hashed` gets the progress, and can stop it.
    pub(super) fn identity(&self, hashed: impl FnMut(u64) -> Result<()>) -> Result<ContentId> {
        hashing::identity(&self.pages, &Hashes::default(), hashed)
    }

    /// The connection that holds the state.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The size of a page, in bytes.
    pub(super) fn page_size(&self) -> u64 {
        self.pages.size
    }

    /// Fills `buffer` with the page of this number.
    pub(super) fn read_page(&self, number: u32, buffer: &mut [u8]) -> Result<()> {
        let before = u64::from(number.max(1) - 1);
        self.pages.read(buffer, before * self.pages.size)
    }

    /// The raw file of the database.
    pub(super) fn file(&self) -> &File {
        &self.pages.main
    }

    /// Closes the connection, and returns the raw file. The file has to stay open for as long as this process has
    /// another connection to the database: closing it would drop the locks of that connection.
    pub(super) fn into_file(self) -> File {
        let Self { connection, pages } = self;
        drop(connection);
        pages.main
    }

    /// Passes the snapshot from the byte `from` on to `sink`, in chunks, until `sink` takes less than a whole one.
    /// Returns how far it got.
    pub(super) fn stream(&self, from: u64, mut sink: impl FnMut(&[u8]) -> Result<usize>) -> Result<u64> {
        let mut chunk = vec![0; CHUNK];
        let mut taken = (from % CHUNK as u64) as usize;
        let mut at = from - taken as u64;
        while at < self.len() {
            let length = (CHUNK as u64).min(self.len() - at) as usize;
            self.pages.read(&mut chunk[..length], at)?;
            taken += sink(&chunk[taken..length])?;
            if taken < length {
                return Ok(at + taken as u64);
            }
            at += length as u64;
            taken = 0;
        }
        Ok(self.len())
    }
}

/// Computes the identity of the database in `file`, which lies at `path`. It has no WAL, and no process writes it.
/// `hashed` gets the progress, and can stop it.
pub(super) fn identity_of(
    file: &File,
    path: &Path,
    hashed: impl FnMut(u64) -> Result<()>,
) -> Result<ContentId> {
    hashing::identity(&pages_of(file, path)?, &Hashes::default(), hashed)
}

/// The same, computed while `work` runs. The hashes that are `known` are not computed again.
pub(super) fn identity_alongside(
    file: &File,
    path: &Path,
    known: &Hashes,
    work: impl FnOnce() -> Result<()>,
) -> Result<ContentId> {
    let pages = pages_of(file, path)?;
    let computed = hashing::alongside(&pages, known, |pace| {
        pace.reach(pages.len());
        work()
    });
    computed.map(|((), identity)| identity)
}

fn pages_of(file: &File, path: &Path) -> Result<Pages> {
    let mut head = [0; HEADER];
    file.read_exact_at(&mut head, 0).on_path("cannot read", path)?;
    let size = DatabaseHeader::read(&head).page_size;
    let length = file.metadata().on_path("cannot stat", path)?.len();
    Ok(Pages {
        main: file.try_clone().on_path("cannot read", path)?,
        log: None,
        size,
        count: length / size,
        path: path.to_owned(),
    })
}
