//! The live database, as the worker opens it: first like any other connection, then as the only one.

mod connection;
pub(super) mod exclusive;
mod file;
mod lease;
pub(super) mod replaced;
pub(super) mod writers_out;

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{ffi, Connection};

use crate::error::{Busy, Context, Error, Result};
use crate::sidecar::sidecars;
use crate::sys::identity::Identity;
use crate::sys::record_lock::{self, Kind};
use crate::worker::schema::Schema;
use crate::worker::sqlite::foreign;
use crate::worker::sqlite::locks;

pub(super) use connection::{checkpoint, unlockable};
pub(super) use file::{gone, remove_sidecars, require_same_file};

use connection::{flags, not_writable};
use exclusive::Exclusive;
use file::has_wal_header;

/// An ordinary connection. While it is open no member is the last to close the database, so none of them spends the
/// pause on a checkpoint.
#[derive(Debug)]
pub(super) struct Live {
    connection: Connection,
    path: PathBuf,
    identity: Identity,
    wal: bool,
    /// Raw files of the database, which must not be closed before the connection.
    raw: Vec<Arc<File>>,
    /// The WAL index, while other processes cannot checkpoint.
    checkpoints: Option<ManuallyDrop<File>>,
}

impl Live {
    /// Opens the database at `path` (resolved). `None` if it does not exist yet.
    pub(super) fn open(path: &Path) -> Result<Option<Self>> {
        if !path.try_exists().on_path("cannot stat", path)? {
            return Ok(None);
        }
        // Taken before the file is opened. If another file takes its place in between, the identity does not match.
        let identity = Identity::of(&std::fs::metadata(path).on_path("cannot stat", path)?);
        let wal = has_wal_header(path).on_path("cannot read", path)?;
        let connection = Connection::open_with_flags(path, flags()).on_path("cannot open", path)?;
        connection
            .busy_timeout(Duration::from_secs(5))
            .on_path("cannot set up a connection to", path)?;
        // SQLite opens the file read-only if it has to, and reports that only when it is asked for a lock. By then
        // requests would be waiting.
        if connection
            .is_readonly("main")
            .on_path("cannot set up a connection to", path)?
        {
            return Err(not_writable(path));
        }
        Ok(Some(Self {
            connection,
            path: path.to_owned(),
            identity,
            wal,
            raw: Vec::new(),
            checkpoints: None,
        }))
    }

    /// The same for a database that existed when the command began.
    pub(super) fn require(path: &Path) -> Result<Self> {
        Self::open(path)?.ok_or_else(|| gone(path))
    }

    /// The schema of the database. Loads the application's extensions, as the checks do, because only the module of
    /// a virtual table knows the tables that belong to it.
    pub(super) fn schema(&self, extensions: &[String]) -> Result<Schema> {
        foreign::load_extensions(&self.connection, extensions)?;
        let read = Schema::read(&self.connection).on_path("cannot read the schema of", &self.path);
        read.map_err(|error| match error {
            Error::Busy(Busy::Locked { .. }) => locks::unreadable(&self.path),
            other => other,
        })
    }

    /// Whether the database is in WAL mode.
    pub(super) fn is_wal(&self) -> bool {
        self.wal
    }

    /// The resolved path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The identity of the file that the path led to when it was opened.
    pub(super) fn identity(&self) -> Identity {
        self.identity
    }

    /// The connection itself.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection, for calls that need exclusive access to it.
    pub(super) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Another connection like this one. The caller has to drop it before [`Live::lock_exclusively`].
    pub(super) fn another_connection(&self) -> Result<Connection> {
        Connection::open_with_flags(&self.path, flags()).on_path("cannot open", &self.path)
    }

    /// Keeps a raw file of the database open for as long as the connection: closing it would drop the connection's
    /// locks.
    pub(super) fn keep_open(&mut self, file: Arc<File>) {
        self.raw.push(file);
    }

    /// Moves everything from the WAL to the file, if no other process reads at this moment.
    pub(super) fn empty_the_log(&self) {
        // Best effort, and the connection is about to be closed.
        let _ = self.connection.busy_timeout(Duration::ZERO);
        let _ = checkpoint(&self.connection, ffi::SQLITE_CHECKPOINT_TRUNCATE);
    }

    /// Moves what it can from the WAL to the file, so that little is left to move while requests wait.
    pub(super) fn checkpoint(&self) {
        // Best effort: another connection may be reading, and the next step moves the rest.
        let _ = checkpoint(&self.connection, ffi::SQLITE_CHECKPOINT_PASSIVE);
    }

    /// Lets other processes checkpoint again, after a [`checkpoint`](Self::checkpoint) of this one.
    pub(super) fn release_checkpoints(&mut self) {
        let Some(index) = self.checkpoints.take() else {
            return;
        };
        // SQLite has released the lock. If requests have written since, SQLite has not synced the file, and the next
        // request that checkpoints would have to.
        let _ = record_lock::try_lock(&*index, Kind::Exclusive, locks::OF_CHECKPOINTS);
        if let Ok(file) = File::open(&self.path) {
            let _ = file.sync_data();
            self.keep_open(Arc::new(file));
        }
        let _ = record_lock::unlock(&*index, locks::OF_CHECKPOINTS);
    }

    /// Keeps other processes from checkpointing until [`release_checkpoints`](Self::release_checkpoints). After a large
    /// write, the next request that writes would otherwise move all of it from the WAL to the file, and wait for the
    /// disk.
    pub(super) fn hold_checkpoints(&mut self) {
        if !self.wal {
            return;
        }
        let index = sidecars(&self.path).nth(1).expect("the index comes second");
        // Stays open until the process ends, because closing it would drop SQLite's locks.
        let Ok(index) = File::options()
            .read(true)
            .write(true)
            .open(index)
            .map(ManuallyDrop::new)
        else {
            return;
        };
        // The lock belongs to the process, so it does not keep SQLite here from taking it. If another process is
        // checkpointing, that one does the work.
        if record_lock::try_lock(&*index, Kind::Exclusive, locks::OF_CHECKPOINTS).is_ok() {
            self.checkpoints = Some(index);
        }
    }

    /// Closes this connection and opens the only one, after every member has let go. Waits for at most `patience` if
    /// a process outside the fleet has locked the database, because requests are waiting.
    pub(super) fn lock_exclusively(self, patience: Duration) -> Result<Exclusive> {
        let path = self.path;
        // SQLite checkpoints and removes the WAL if this is the last connection.
        drop(self.connection);
        drop(self.raw);
        Exclusive::take(path, patience)
    }
}
