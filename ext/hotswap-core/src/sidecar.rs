//! The files that SQLite puts next to a database.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A file next to a database that holds a part of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sidecar {
    /// `-wal`: committed rows that are not in the main file yet.
    Wal,
    /// `-journal`: how to undo the unfinished transaction of a crashed writer.
    Journal,
}

impl Sidecar {
    /// The suffix that SQLite appends to the name of the database.
    pub const fn suffix(self) -> &'static str {
        match self {
            Sidecar::Wal => "-wal",
            Sidecar::Journal => "-journal",
        }
    }
}

/// The suffixes of all files that SQLite may put next to a database.
pub(crate) const SUFFIXES: [&str; 3] = [Sidecar::Wal.suffix(), "-shm", Sidecar::Journal.suffix()];

/// All files that SQLite may put next to a database.
pub fn sidecars(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    SUFFIXES.into_iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}
