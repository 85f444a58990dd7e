//! The live database while no other process may have it open: locks it, empties its WAL, and takes the lease.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{ffi, Connection, ErrorCode};

use super::connection::{checkpoint, flags, unlockable};
use super::file::require_same_file;
use super::lease::{own_descriptor, Asked, Lease};
use super::replaced::Replaced;
use crate::error::{Busy, Context, Error, Result};
use crate::holders::Strangers;
use crate::sidecar::sidecars;
use crate::sys::identity::Identity;
use crate::sys::processes::Bound;
use crate::visible::Shown;

/// The live database, open in this process only: locked through SQLite, and leased from the kernel if possible.
#[derive(Debug)]
pub(crate) struct Exclusive {
    connection: Connection,
    /// SQLite's descriptor, the only one in this process.
    descriptor: RawFd,
    lease: Option<Lease>,
    /// Why there is no lease, and which processes could not be inspected instead.
    unproven: Option<(nix::errno::Errno, Vec<String>)>,
    path: PathBuf,
}

impl Exclusive {
    pub(crate) fn take(path: PathBuf, patience: Duration) -> Result<Self> {
        // One deadline for all steps together, because the rest of the pause is for the steps that follow.
        let deadline = Instant::now() + patience;
        let connection = Connection::open_with_flags(&path, flags()).on_path("cannot open", &path)?;
        connection
            .busy_timeout(patience)
            .on_path("cannot set up a connection to", &path)?;
        // Set before the first read, so that the WAL has no shared index and no other connection can come in. Not
        // journal_mode=DELETE: that writes the old file and leaves it in another mode if this process dies.
        let locked = connection
            .query_row("PRAGMA locking_mode=EXCLUSIVE", [], |_| Ok(()))
            .and_then(|()| connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK"));
        match locked {
            Ok(()) => empty_the_log(&connection, &path)?,
            // No SQLite can read this file, so there is no connection to lock out.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {}
            Err(error) => return Err(busy_or(error, &path)),
        }
        let (lease, unproven) = match Lease::wait(&path, deadline.saturating_duration_since(Instant::now()))?
        {
            Asked::Granted(lease) => (Some(lease), None),
            Asked::Refused => return Err(open_elsewhere(&path)),
            Asked::Unavailable(errno) => match Strangers::of(&path, Bound::Hasty) {
                strangers if !strangers.names.is_empty() => return Err(open_in(&path, &strangers)),
                Strangers { unseen, .. } => (None, Some((errno, unseen))),
            },
        };
        Ok(Self {
            connection,
            descriptor: own_descriptor(&path)?,
            lease,
            unproven,
            path,
        })
    }

    /// The only connection.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Why it is not proven that no other process has the file open, if it is not.
    pub(crate) fn doubt(&self) -> Option<String> {
        let (errno, unseen) = self.unproven.as_ref()?;
        let path = self.path.shown();
        let unseen = match unseen.join(", ") {
            names if names.is_empty() => names,
            names => format!(". These processes could not be inspected in time: {names}"),
        };
        Some(format!(
            "could not get a file lease on {path} ({errno}). A process of another user might still have it open{unseen}"
        ))
    }

    /// The last check before the commit point: the path still leads to the locked file, and no process has tried to
    /// open it.
    pub(crate) fn confirm(&self, expected: Identity) -> Result<()> {
        require_same_file(&self.path, expected)?;
        if self.lease.as_ref().is_some_and(|lease| !lease.is_unbroken()) {
            return Err(open_elsewhere(&self.path));
        }
        Ok(())
    }

    /// Fails if another process has opened the file before it got the name `path`.
    pub(crate) fn require_alone_at(&self, path: &Path) -> Result<()> {
        let is_alone = match &self.lease {
            Some(lease) => lease.is_unbroken(),
            None => Strangers::of(path, Bound::Hasty).names.is_empty(),
        };
        match is_alone {
            true => Ok(()),
            false => Err(open_in(&self.path, &Strangers::of(path, Bound::Hasty))),
        }
    }

    /// What the worker has to keep of the file once another one has taken its place.
    pub(crate) fn replaced(self) -> Replaced {
        Replaced::new(self.connection, self.lease, self.descriptor, self.path)
    }
}

fn empty_the_log(connection: &Connection, path: &Path) -> Result<()> {
    let code = checkpoint(connection, ffi::SQLITE_CHECKPOINT_TRUNCATE);
    let log = sidecars(path).next().expect("the log comes first");
    let left = std::fs::metadata(log).map(|metadata| metadata.len()).unwrap_or(0);
    match code {
        ffi::SQLITE_OK if left == 0 => Ok(()),
        ffi::SQLITE_OK | ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Err(open_elsewhere(path)),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
            .on_path("cannot checkpoint", path),
    }
}

fn busy_or(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => open_elsewhere(path),
        _ => unlockable(error, path),
    }
}

/// The error for a database that another process has open or locked.
fn open_elsewhere(path: &Path) -> Error {
    open_in(path, &Strangers::of(path, Bound::Hasty))
}

fn open_in(path: &Path, strangers: &Strangers) -> Error {
    Busy::Open {
        database: path.to_owned(),
        holders: strangers.phrase(),
        of_the_application: strangers.of_the_application,
    }
    .into()
}
