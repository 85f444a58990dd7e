//! What the record will say about a command.
//!
//! The parts of a command note what they know as they go. The last step of the command adds the entry to the record.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::protocol::Figures;
use crate::record::{Entry, Event};

/// How long a slow disk may delay the end of a command for the sake of its entry.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The account of one command. Threads of the worker share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Account(Arc<Mutex<Option<Open>>>);

#[derive(Debug)]
struct Open {
    database: PathBuf,
    entry: Entry,
}

impl Account {
    /// Begins with what is known before the command does anything. `database` is the resolved path.
    pub(super) fn begin(&self, database: &Path, entry: Entry) {
        *self.lock() = Some(Open {
            database: database.to_owned(),
            entry,
        });
    }

    /// Adds to what is known.
    pub(super) fn note(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(open) = &mut *self.lock() {
            change(&mut open.entry);
        }
    }

    /// Whether the command has kept what it replaced.
    pub(super) fn has_previous(&self) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|open| open.entry.previous.is_some())
    }

    /// The end of the command: the path of its database, and the whole entry. `None` if the command was about no
    /// database, or if it did nothing to it.
    pub(super) fn close(&self, outcome: &Result<Figures>, took: Duration) -> Option<(PathBuf, Entry)> {
        let Open { database, entry } = self.lock().take()?;
        let changed = !matches!(outcome, Ok(figures) if figures.changed == Some(false));
        changed.then(|| (database, finished(entry, outcome, took)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn finished(entry: Entry, outcome: &Result<Figures>, took: Duration) -> Entry {
    let took_ms = Some(took.as_micros() as f64 / 1e3);
    match outcome {
        Ok(figures) => Entry {
            event: match figures.command.as_str() {
                "pull" => Event::Pull,
                "rollback" => Event::Rollback,
                _ => Event::Push,
            },
            bytes: Some(figures.bytes),
            identity: figures.identity.map(|identity| identity.to_string()),
            way: figures.way,
            held_ms: figures.held_ms,
            took_ms,
            ..entry
        },
        Err(error) => {
            let code = error.exit_code();
            Entry {
                event: match code {
                    ExitCode::Failed => Event::Failed,
                    ExitCode::RolledBack => Event::Rollback,
                    _ => Event::Refused,
                },
                error: Some(error.in_a_log()),
                exit_status: Some(code as u8),
                took_ms,
                ..entry
            }
        }
    }
}
