//! What a worker publishes about its command while it runs, for `hotswap status`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::status::CommandStatus;
use crate::sys::publication::{self, Publication};

/// The name of the publication.
pub(super) const NAME: &str = "hotswap-progress";

/// The progress of one command. Threads of the worker share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<Option<(Publication, Published)>>>);

/// What is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Published {
    /// The resolved path of the database.
    #[serde(with = "crate::path")]
    pub database: PathBuf,
    /// The command, and what it does.
    pub command: CommandStatus,
}

/// Whether the process is a worker that publishes its progress to this user.
pub(super) fn is_published_by(pid: u32) -> bool {
    publication::all(NAME).any(|(publisher, published)| publisher == pid && !published.is_empty())
}

impl Progress {
    /// Publishes that the command has begun.
    pub(super) fn begin(&self, database: &Path, command: CommandStatus) {
        let published = Published {
            database: database.to_owned(),
            command,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Publication::new(NAME).map(|publication| (publication, published));
        self.change(|_| {});
    }

    /// Publishes that the next phase has begun.
    pub(super) fn phase(&self, phase: &str) {
        self.change(|command| {
            *command = CommandStatus {
                phase: phase.into(),
                done: None,
                total: None,
                ..command.clone()
            }
        });
    }

    /// Publishes how much of a phase is done. A total of 0 is unknown.
    pub(super) fn report(&self, phase: &str, done: u64, total: u64) {
        self.change(|command| {
            let known = (total > 0).then_some(total);
            *command = CommandStatus {
                phase: phase.into(),
                done: (done > 0 || known.is_some()).then_some(done),
                total: known,
                ..command.clone()
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut CommandStatus)) {
        let mut progress = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((publication, published)) = &mut *progress {
            change(&mut published.command);
            publication.publish(&serde_json::to_vec(published).unwrap_or_default());
        }
    }
}
