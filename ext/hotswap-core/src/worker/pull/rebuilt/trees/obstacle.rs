//! Why a tree cannot be copied.

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::visible::{self, Shown};

/// What keeps a tree from being copied.
pub(super) enum Obstacle {
    /// This page is not one of a sound tree.
    Damaged(u32),
    Unwritten(io::Error),
    Other(Error),
}

pub(super) type Copied<T> = std::result::Result<T, Obstacle>;

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl Obstacle {
    /// `table` is the one that was copied, and `file` what messages call the copy.
    pub(super) fn into_error(self, table: &str, file: &Path) -> Error {
        match self {
            Self::Damaged(page) => Error::io(
                format!(
                    "cannot copy the table {} into {}",
                    visible::line(table),
                    file.shown()
                ),
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("page {page} of the database is damaged"),
                ),
            ),
            Self::Unwritten(error) => Error::io(format!("cannot write {}", file.shown()), error),
            Self::Other(error) => error,
        }
    }
}
