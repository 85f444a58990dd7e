//! One command: what the client asks for, and what the worker needs to carry it out.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::client::Client;
use super::live::replaced::Replaced;
use super::low_priority::at_low_priority;
use crate::error::{Refused, Result};
use crate::in_place::InPlace;
use crate::percent::Percent;
use crate::previous;
use crate::protocol::Request;
use crate::record::Entry;
use crate::route::Direction;
use crate::settings::{Database, Settings};

/// The command of one client. Threads of the worker share it.
pub(super) struct Command<'a> {
    /// The client, the user behind it, and the application's log.
    pub client: &'a Client,
    /// What the client asked for.
    pub request: &'a Request,
    /// The settings of the application, with the options of this command.
    pub settings: &'a Settings,
    /// The managed database that the command is about.
    pub database: &'a Database,
    /// The path of the database, with every symlink resolved.
    pub path: PathBuf,
    replaced: Mutex<Option<Replaced>>,
}

impl<'a> Command<'a> {
    /// A command about `database`.
    pub(super) fn new(
        client: &'a Client,
        request: &'a Request,
        settings: &'a Settings,
        database: &'a Database,
    ) -> Self {
        Self {
            client,
            request,
            settings,
            database,
            path: database.resolved(),
            replaced: Mutex::default(),
        }
    }

    /// What is known for the record before the command begins.
    pub(super) fn entry(&self, direction: Direction) -> Entry {
        let Request { src, dst, .. } = self.request;
        let (command, from, to) = match direction {
            Direction::Push => ("push", Some(src.raw.clone()), None),
            Direction::Pull => ("pull", None, Some(dst.raw.clone())),
            Direction::PullVersion(_) => ("pull", Some(src.raw.clone()), Some(dst.raw.clone())),
            Direction::Rollback(_) => ("rollback", Some(src.raw.clone()), None),
        };
        Entry {
            command: Some(command.into()),
            database: Some(self.database.label.clone()),
            name: self.database.name.clone(),
            from,
            to,
            label: self.request.label.clone(),
            ..Entry::default()
        }
    }

    /// How long requests may be held up at a time.
    pub(super) fn max_pause(&self) -> Duration {
        self.settings.max_pause()
    }

    /// How long the swap may take from its first attempt on.
    pub(super) fn timeout(&self) -> Duration {
        self.settings.timeout()
    }

    /// Whether the application is asked after the swap whether it works with the new content.
    pub(super) fn is_probed(&self) -> bool {
        let pushes = self.request.src.version().is_none();
        pushes && (self.request.probe.is_some() || self.settings.probe)
    }

    /// How long a probe of the new content may take.
    pub(super) fn probe_timeout(&self) -> Duration {
        let milliseconds = self.request.probe_timeout_ms;
        Duration::from_millis(milliseconds.unwrap_or(self.settings.probe_timeout_ms))
    }

    /// Fails if another managed database has the name of a version of this one.
    pub(super) fn require_own_versions(&self) -> Result<()> {
        let own = self.path.file_name().unwrap_or_default();
        let is_version = |other: &PathBuf| {
            let name = other.file_name().unwrap_or_default();
            other.parent() == self.path.parent() && previous::is_version(name, own)
        };
        let mut others = self.settings.resolved().into_iter();
        match others.find(is_version) {
            Some(other) => Err(Refused::VersionIsManaged {
                database: self.path.clone(),
                other,
            }
            .into()),
            None => Ok(()),
        }
    }

    /// Whether the worker may write into the live file.
    pub(super) fn in_place(&self) -> InPlace {
        self.request.in_place.unwrap_or(self.settings.in_place)
    }

    /// How many of its rows each table may lose.
    pub(super) fn max_shrink(&self) -> Option<Percent> {
        self.request.max_shrink.or(self.settings.max_shrink)
    }

    /// Runs `work` in a thread of low priority, unless the application has turned that off, and waits for it.
    pub(super) fn at_low_priority<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        at_low_priority(self.settings.low_priority, work)
    }

    /// Keeps the file that was the live one locked after the command, no matter how the command ends.
    pub(super) fn keep_locked(&self, replaced: Option<Replaced>) {
        *self.replaced.lock().unwrap_or_else(PoisonError::into_inner) = replaced;
    }

    /// Takes back the file that was to stay locked.
    pub(super) fn take_replaced(&self) -> Option<Replaced> {
        self.replaced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The file that has to stay locked.
    pub(super) fn into_replaced(self) -> Option<Replaced> {
        self.replaced.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
