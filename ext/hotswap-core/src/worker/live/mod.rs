//! The live database, as the worker opens it: first like any other connection, then as the only one.

pub mod lease;
pub mod replaced;
pub mod writers_out;
use std::fs::File;
use std::os::fd::RawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{ffi, Connection, ErrorCode, OpenFlags};

use crate::error::{Context, Error, Result};
use crate::holders::Strangers;
use crate::sidecar::sidecars;
use crate::sys::identity::Identity;
use crate::sys::processes::Bound;
use crate::visible::Shown;
use crate::worker::schema::Schema;
use crate::worker::sqlite::foreign;
use crate::worker::sqlite::header::DatabaseHeader;
use crate::worker::sqlite::locks;

use lease::{own_descriptor, Asked, Lease};
use replaced::Replaced;

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX
}

/// An ordinary connection. While it is open no member is the last to close the database, so none of them spends the
/// pause on a checkpoint.
#[derive(Debug)]
pub struct Live {
    connection: Connection,
    path: PathBuf,
    identity: Identity,
    wal: bool,
}

impl Live {
    /// Opens the database at `path` (resolved). `None` if it does not exist yet.
    pub fn open(path: &Path) -> Result<Option<Self>> {
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
        }))
    }

    /// The schema of the database. Loads the application's extensions, as the checks do, because only the module of
    /// a virtual table knows the tables that belong to it.
    pub fn schema(&self, extensions: &[String]) -> Result<Schema> {
        foreign::load_extensions(&self.connection, extensions)?;
        let read = Schema::read(&self.connection).on_path("cannot read the schema of", &self.path);
        read.map_err(|error| match error {
            Error::Busy(_) => locks::unreadable(&self.path),
            other => other,
        })
    }

    /// Whether the database is in WAL mode.
    pub fn is_wal(&self) -> bool {
        self.wal
    }

    /// The resolved path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The identity of the file that the path led to when it was opened.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The connection itself.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection, for calls that need exclusive access to it.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Moves what it can from the WAL to the file, so that little is left to move while requests wait.
    pub fn checkpoint(&self) {
        // Best effort: another connection may be reading, and the next step moves the rest.
        let _ = checkpoint(&self.connection, ffi::SQLITE_CHECKPOINT_PASSIVE);
    }

    /// Closes this connection and opens the only one, after every member has let go. Waits for at most `patience` if
    /// a process outside the fleet has locked the database, because requests are waiting.
    pub fn seize(self, patience: Duration) -> Result<Seized> {
        let path = self.path;
        // SQLite checkpoints and removes the WAL if this is the last connection.
        drop(self.connection);
        Seized::take(path, patience)
    }
}

/// The live database, open in this process only: locked through SQLite, and leased from the kernel if possible.
#[derive(Debug)]
pub struct Seized {
    connection: Connection,
    /// SQLite's descriptor, the only one in this process.
    descriptor: RawFd,
    lease: Option<Lease>,
    /// Why there is no lease, and which processes could not be inspected instead.
    unproven: Option<(nix::errno::Errno, Vec<String>)>,
    path: PathBuf,
}

impl Seized {
    fn take(path: PathBuf, patience: Duration) -> Result<Self> {
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

    /// The only connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Why it is not proven that no other process has the file open, if it is not.
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

    /// The last check before the commit point: the path still leads to the locked file, and no process has tried to
    /// open it.
    pub fn confirm(&self, expected: Identity) -> Result<()> {
        require_same_file(&self.path, expected)?;
        if self.lease.as_ref().is_some_and(|lease| !lease.is_unbroken()) {
            return Err(somebody_else(&self.path));
        }
        Ok(())
    }

    /// What the worker has to keep of the file once another one has taken its place.
    pub fn replaced(self) -> Replaced {
        Replaced::new(self.connection, self.lease, self.descriptor, self.path)
    }
}

/// Fails unless the path still leads to the `expected` file.
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

/// Removes what must never meet the new file: the WAL, the WAL index and the journal of the old one, even if the old
/// file itself is gone. The client makes this durable.
pub fn remove_sidecars(path: &Path) -> Result<()> {
    for sidecar in sidecars(path) {
        match std::fs::remove_file(&sidecar) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).on_path("cannot remove", &sidecar)
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the header, because SQLite answers no question about a database with a damaged schema. Must run before
/// SQLite opens the file: closing this descriptor later would drop SQLite's locks.
fn has_wal_header(path: &Path) -> std::io::Result<bool> {
    let mut head = [0; 100];
    match File::open(path)?.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(DatabaseHeader::read(&head).wal),
        // A shorter file is no database yet, and has no WAL.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Uses the C interface: the PRAGMA reads the schema first, so a damaged database could not be replaced.
pub fn checkpoint(connection: &Connection, mode: i32) -> i32 {
    let (every, none) = (std::ptr::null(), std::ptr::null_mut());
    // SAFETY: the handle lives as long as `connection`; a null name means every database, and null counters are
    // not filled in.
    unsafe { ffi::sqlite3_wal_checkpoint_v2(connection.handle(), every, mode, none, none) }
}

fn empty_the_log(connection: &Connection, path: &Path) -> Result<()> {
    let code = checkpoint(connection, ffi::SQLITE_CHECKPOINT_TRUNCATE);
    let log = sidecars(path).next().expect("the log comes first");
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

/// The error for a lock that SQLite refuses although no other process holds one.
pub fn unlockable(error: rusqlite::Error, path: &Path) -> Error {
    match error.sqlite_error_code() {
        // The file may be writable, but not its WAL.
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

/// The refusal of a live file that can be opened only for reading.
fn not_writable(live: &Path) -> Error {
    let allowed = nix::unistd::access(live, nix::unistd::AccessFlags::W_OK).is_ok();
    let cure = if allowed {
        "Its mode allows that, but its folder has the sticky bit, and the system protects what is somebody else's there \
         (fs.protected_regular). Take the bit from the folder, or run the application as the file's owner"
    } else {
        "Let the application write into it, or run the application as its owner"
    };
    Error::Refused(format!(
        "{} can be opened for reading only, so nobody can be kept out while it is replaced. {cure}, and copy again. \
         Copying out of the database works as it is",
        live.shown()
    ))
}
