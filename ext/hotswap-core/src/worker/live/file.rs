//! The file of the live database, and the files that SQLite keeps next to it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Busy, Change, Context, Error, Result};
use crate::sidecar::sidecars;
use crate::sys::identity::Identity;
use crate::worker::sqlite::header::DatabaseHeader;

/// The error for a database that existed when the command began and does not any more.
pub(crate) fn gone(path: &Path) -> Error {
    Busy::Removed {
        database: path.to_owned(),
    }
    .into()
}

/// Fails unless the path still leads to the `expected` file.
pub(crate) fn require_same_file(path: &Path, expected: Identity) -> Result<()> {
    let change = match std::fs::metadata(path) {
        Ok(there) if Identity::of(&there) == expected => return Ok(()),
        Ok(_) => Change::Replaced,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Change::Removed,
        Err(error) => return Err(error).on_path("cannot stat", path),
    };
    let path = path.to_owned();
    Err(Busy::Changed { path, change }.into())
}

/// Removes what must never meet the new file: the WAL, the WAL index and the journal of the old one, even if the old
/// file itself is gone. The caller makes this durable.
pub(crate) fn remove_sidecars(path: &Path) -> Result<()> {
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
pub(super) fn has_wal_header(path: &Path) -> std::io::Result<bool> {
    let mut head = [0; 100];
    match File::open(path)?.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(DatabaseHeader::read(&head).wal),
        // A shorter file is no database yet, and has no WAL.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
