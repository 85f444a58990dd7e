//! The databases of which the application's caches show an older version.
//!
//! After a swap, the application forgets the schema and runs its `after_swap` blocks. That takes time, and a child that
//! is forked meanwhile inherits what is still old. So the child must not count as up to date.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fence::Board;

/// What the application has missed of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missed {
    Nothing,
    /// The database was replaced.
    Content,
    /// The same, and the schema may have changed.
    Schema,
}

impl Missed {
    /// What has happened since `generation`, according to `board`.
    pub(super) fn since(generation: u64, board: &Board) -> Self {
        match board {
            board if board.schema_changed_since(generation) => Self::Schema,
            board if board.generation != generation => Self::Content,
            _ => Self::Nothing,
        }
    }
}

/// The databases of which this process has missed something, with what it has missed. One that was replaced twice is in
/// it twice.
#[derive(Clone, Debug, Default)]
pub(super) struct Outdated(Arc<Mutex<Vec<(PathBuf, Missed)>>>);

impl Outdated {
    /// Adds `database` (its resolved path), until the application has caught up.
    pub(super) fn add(&self, database: PathBuf, missed: Missed) -> CatchingUp {
        self.entries().push((database.clone(), missed));
        CatchingUp {
            outdated: self.clone(),
            database,
            missed,
        }
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Vec<(PathBuf, Missed)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The application has yet to forget what it knows of a database. Dropped when it has: its schema is forgotten, and its
/// `after_swap` blocks have ended.
#[derive(Debug)]
pub struct CatchingUp {
    outdated: Outdated,
    database: PathBuf,
    missed: Missed,
}

impl CatchingUp {
    /// The resolved path of the database.
    pub fn database(&self) -> &Path {
        &self.database
    }
}

impl Drop for CatchingUp {
    fn drop(&mut self) {
        let mut entries = self.outdated.entries();
        let this =
            |(database, missed): &(PathBuf, Missed)| *database == self.database && *missed == self.missed;
        if let Some(at) = entries.iter().position(this) {
            entries.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_outdated_until_all_of_its_swaps_are_over() {
        let outdated = Outdated::default();
        let database = Path::new("/live.sqlite3");
        let first = outdated.add(database.into(), Missed::Schema);
        let second = outdated.add(database.into(), Missed::Content);
        drop(first);
        assert_eq!(*outdated.entries(), [(database.into(), Missed::Content)]);
        drop(second);
        assert!(outdated.entries().is_empty());
    }

    #[test]
    fn a_schema_is_missed_unless_the_board_shows_that_it_is_the_same() {
        let board = Board {
            generation: 7,
            schema_generation: 5,
            ..Board::default()
        };
        for (generation, missed) in [
            (7, Missed::Nothing),
            (6, Missed::Content),
            (4, Missed::Schema),
            (8, Missed::Schema),
        ] {
            assert_eq!(Missed::since(generation, &board), missed, "{generation}");
        }
    }
}
