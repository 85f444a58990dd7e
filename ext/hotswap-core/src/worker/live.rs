//! The live database, as the worker opens it: like any other connection first, then as its only one.

use std::fs::File;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{ffi, Connection, ErrorCode, OpenFlags};

use super::foreign;
use super::header::DatabaseHeader;
use super::lease::{own_descriptor, Asked, Lease};
use super::leftovers;
use super::locks;
use super::preflight::not_writable;
use super::processes::Bound;
use super::replaced::Replaced;
use super::schema::Schema;
use super::strangers::Strangers;
use crate::error::{Context, Error, Result};
use crate::protocol::Identity;
use crate::visible::Shown;

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// An ordinary connection. As long as it is open the members are not the last to close, and so do not spend
/// the pause on a checkpoint.
#[derive(Debug)]
pub struct Live {
    connection: Connection,
    path: PathBuf,
    identity: Identity,
    wal: bool,
}

impl Live {
    /// Opens the database at `path` (resolved). `None` where there is none yet.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        if !path.try_exists().on_path("cannot stat", path)? {
            return Ok(None);
        }
        // Before it is opened: of a file that takes its place in between, this is not the identity.
        let identity = Identity::of(&std::fs::metadata(path).on_path("cannot stat", path)?);
        let wal = has_wal_header(path).on_path("cannot read", path)?;
        let connection = Connection::open_with_flags(path, flags()).on_path("cannot open", path)?;
        connection
            .busy_timeout(Duration::from_secs(5))
            .on_path("cannot set up a connection to", path)?;
        // SQLite makes do with that, and says so when it is asked for a lock: too late, everybody waits by then.
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
        }))
    }

    /// Its schema. With the application's extensions loaded, as the judge has them: only the module of a virtual table
    /// knows which tables are its own.
    pub fn schema(&self, extensions: &[String]) -> Result<Schema> {
        foreign::load_extensions(&self.connection, extensions)?;
        let read = Schema::read(&self.connection).on_path("cannot read the schema of", &self.path);
        read.map_err(|error| match error {
            Error::Busy(_) => locks::unreadable(&self.path),
            other => other,
        })
    }

    /// Whether it keeps a write-ahead log.
    pub fn is_wal(&self) -> bool {
        self.wal
    }

    /// Where it lies, resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file the path meant when it was opened.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same, for what nobody else may use it during.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Moves what it can from the log to the file, so that little is left to move while requests wait.
    pub fn checkpoint(&self) {
        // Best effort: somebody may be reading, and the next step does what is left.
        let _ = checkpoint(&self.connection, ffi::SQLITE_CHECKPOINT_PASSIVE);
    }

    /// Closes this connection and opens the only one, after every member has let go. Waits for `patience` at
    /// most where somebody outside of the fleet has locked the database: requests wait meanwhile.
    pub fn seize(self, patience: Duration) -> Result<Seized> {
        let path = self.path;
        // As the last to close it checkpoints, and removes the log.
        drop(self.connection);
        Seized::take(path, patience)
    }
}

/// The live database with nobody else in it: locked through SQLite, and leased from the kernel where it can be.
#[derive(Debug)]
pub struct Seized {
    connection: Connection,
    /// SQLite's, the only one.
    descriptor: RawFd,
    lease: Option<Lease>,
    /// Why there is no lease, and who could not be looked at instead.
    unproven: Option<(nix::errno::Errno, Vec<String>)>,
    path: PathBuf,
}

impl Seized {
    fn take(path: PathBuf, patience: Duration) -> Result<Self> {
        // For all steps together: what is left of the pause is for what comes after them.
        let deadline = Instant::now() + patience;
        let connection = Connection::open_with_flags(&path, flags()).on_path("cannot open", &path)?;
        connection
            .busy_timeout(patience)
            .on_path("cannot set up a connection to", &path)?;
        // Before the first read: then the log has no shared index, and no other connection can come in.
        // Not journal_mode=DELETE: that writes the old file and leaves it in another mode if we die.
        let locked = connection
            .query_row("PRAGMA locking_mode=EXCLUSIVE", [], |_| Ok(()))
            .and_then(|()| connection.execute_batch("BEGIN EXCLUSIVE; ROLLBACK"));
        match locked {
            Ok(()) => empty_the_log(&connection, &path)?,
            // No SQLite gets anything out of it, so there is nobody to lock out.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {}
            Err(error) => return Err(busy_or(error, &path)),
        }
        let (lease, unproven) = match Lease::wait(&path, deadline.saturating_duration_since(Instant::now()))?
        {
            Asked::Granted(lease) => (Some(lease), None),
            Asked::SomebodyElse => return Err(somebody_else(&path)),
            Asked::Unavailable(errno) => match Strangers::of(&path, Bound::Hasty) {
                strangers if !strangers.names.is_empty() => return Err(stranger(&path, &strangers)),
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

    /// The one connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Why it is not proven that nobody else has the file open, if it is not.
    pub fn doubt(&self) -> Option<String> {
        let (errno, unseen) = self.unproven.as_ref()?;
        let path = self.path.shown();
        let unseen = match unseen.join(", ") {
            names if names.is_empty() => names,
            names => format!(", nor in what could not be looked at in time: {names}"),
        };
        Some(format!(
            "the kernel gives no lease on {path} ({errno}): connections that hold no lock and are not visible to this user \
             cannot be ruled out{unseen}"
        ))
    }

    /// The last look before the commit point: the path still means the file that is locked, and nobody has
    /// come to open it.
    pub fn confirm(&self, expected: Identity) -> Result<()> {
        require_same_file(&self.path, expected)?;
        if self.lease.as_ref().is_some_and(|lease| !lease.is_unbroken()) {
            return Err(somebody_else(&self.path));
        }
        Ok(())
    }

    /// What has to be kept of it once another file has taken its place.
    pub fn replaced(self) -> Replaced {
        Replaced::new(self.connection, self.lease, self.descriptor, self.path)
    }
}

/// Whether the path means still what it meant.
pub fn require_same_file(path: &Path, expected: Identity) -> Result<()> {
    let what = match std::fs::metadata(path) {
        Ok(there) if Identity::of(&there) == expected => return Ok(()),
        Ok(_) => "replaced",
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "removed",
        Err(error) => return Err(error).on_path("cannot stat", path),
    };
    Err(Error::Busy(format!(
        "{} was {what} by another program meanwhile. Nothing was swapped; copy again",
        path.shown()
    )))
}

/// Removes what must never meet the new file: the log of the one before, its index and its journal, also where
/// that file itself is gone. The caller makes this durable.
pub fn remove_sidecars(path: &Path) -> Result<()> {
    for sidecar in leftovers::sidecars(path) {
        match std::fs::remove_file(&sidecar) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).on_path("cannot remove", &sidecar)
            }
            _ => {}
        }
    }
    Ok(())
}

/// As the header says, and not SQLite, which answers no question about a database with a damaged schema. Before
/// SQLite opens the file: closing this descriptor later would drop its locks.
fn has_wal_header(path: &Path) -> std::io::Result<bool> {
    let mut head = [0; 100];
    match File::open(path)?.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(DatabaseHeader::read(&head).wal),
        // A file that is shorter is no database yet, and has no log.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// By the C interface: the PRAGMA reads the schema first, and a damaged database could not be replaced.
pub fn checkpoint(connection: &Connection, mode: i32) -> i32 {
    let (every, none) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: the handle lives as long as `connection`; a null name means every database, and null counters are
    // not filled in.
    unsafe { ffi::sqlite3_wal_checkpoint_v2(connection.handle(), every, mode, none, none) }
}

fn empty_the_log(connection: &Connection, path: &Path) -> Result<()> {
    let code = checkpoint(connection, ffi::SQLITE_CHECKPOINT_TRUNCATE);
    let log = leftovers::sidecars(path).next().expect("the log comes first");
    let left = std::fs::metadata(log).map(|metadata| metadata.len()).unwrap_or(0);
    match code {
        ffi::SQLITE_OK if left == 0 => Ok(()),
        ffi::SQLITE_OK | ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => Err(somebody_else(path)),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
            .on_path("cannot checkpoint", path),
    }
}

fn busy_or(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => somebody_else(path),
        _ => unlockable(error, path),
    }
}

/// What SQLite says to somebody who wants a lock, and whom no other one keeps from it.
pub fn unlockable(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        // The file may be written, but not its log.
        Some(ErrorCode::ReadOnly) => not_writable(path),
        _ => Error::Sqlite {
            what: format!("cannot lock {}", path.shown()),
            source: error,
        },
    }
}

fn somebody_else(path: &Path) -> Error {
    stranger(path, &Strangers::of(path, Bound::Hasty))
}

fn stranger(path: &Path, strangers: &Strangers) -> Error {
    Error::Stranger {
        database: path.shown(),
        who: strangers.phrase(),
        of_the_application: strangers.of_the_application,
    }
}
