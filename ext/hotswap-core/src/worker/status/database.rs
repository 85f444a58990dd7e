//! The state of one database.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::glance::{Facts, Observer};
use super::role::role;
use crate::fence::{Fence, Lock, Phase};
use crate::holders::{self, Surveyed};
use crate::previous::{self, Numbers};
use crate::record::{self, Entry, Kept};
use crate::settings::Database;
use crate::sidecar::sidecars;
use crate::status::{CommandStatus, DatabaseStatus, Holds, ProcessStatus, VersionStatus};
use crate::sys::processes::{command, shown, Bound};
use crate::visible::Shown;
use crate::worker::fleet::participants::Members;
use crate::worker::progress::{self, Published};

/// What an answer finds out once, for all of its databases.
pub(super) struct Survey<'a> {
    open: Vec<Surveyed>,
    published: Vec<(u32, Published)>,
    processes: Processes,
    numbers: Numbers,
    observer: &'a mut Observer,
}

impl<'a> Survey<'a> {
    /// Looks at all processes. `paths` are those of the databases, resolved.
    pub(super) fn of(paths: &[PathBuf], observer: &'a mut Observer) -> Self {
        let open = holders::survey(paths, progress::NAME, Bound::Patient);
        Self {
            published: published(&open),
            open,
            processes: Processes::now(),
            numbers: Numbers::default(),
            observer,
        }
    }

    /// The state of the database with this `index`, at `path`. `looks`: whether to look into the database.
    pub(super) fn status(
        &mut self,
        index: usize,
        database: &Database,
        path: &Path,
        looks: bool,
    ) -> DatabaseStatus {
        let fence = Fence::existing(path).ok().flatten();
        let length = |path: &Path| std::fs::metadata(path).ok().map(|metadata| metadata.len());
        let bytes = length(path);
        let facts = match bytes.is_some() && looks {
            true => self.observer.look_into(path, fence.as_ref()),
            false => Facts::default(),
        };
        let open = self.open.iter().filter(|one| one.open[index]);
        let open: Vec<_> = open.map(|one| one.pid).collect();
        let mut previous = versions(path, self.numbers.of(path));
        DatabaseStatus {
            database: database.label.clone(),
            name: database.name.clone(),
            pattern: database.pattern.clone(),
            path: path.shown(),
            exists: bytes.is_some(),
            objection: database.objection.clone(),
            bytes,
            wal_bytes: sidecars(path).next().and_then(|log| length(&log)),
            journal_mode: facts.journal_mode,
            schema_version: facts.schema_version,
            user_version: facts.user_version,
            processes: self.processes.with(fence.as_ref(), &open),
            // The kernel reports 0 for a process in another container.
            elsewhere: fence
                .as_ref()
                .is_some_and(|fence| fence.holder(Lock::Fence).is_some_and(|pid| pid <= 0)),
            commands: commands(path, fence.as_ref(), &self.published),
            last_push: last_swap(path, &mut previous),
            previous: previous.into_iter().map(|(_, version)| version).collect(),
        }
    }
}

/// What the workers of the survey publish.
fn published(survey: &[Surveyed]) -> Vec<(u32, Published)> {
    let of = |one: &Surveyed| {
        let content = one.published.iter();
        let parsed = content.filter_map(|content| serde_json::from_slice(content).ok());
        parsed.map(|published| (one.pid, published)).collect::<Vec<_>>()
    };
    survey.iter().flat_map(of).collect()
}

/// The processes that have to do with databases.
pub(crate) struct Processes {
    members: Members,
    /// The command lines that were read.
    commands: HashMap<u32, Vec<String>>,
}

impl Processes {
    /// Those at this moment.
    pub(crate) fn now() -> Self {
        Self {
            members: Members::now(),
            commands: HashMap::new(),
        }
    }

    /// Those that hold a lock on `fence`, or have the file `open`.
    pub(crate) fn with(&mut self, fence: Option<&Fence>, open: &[u32]) -> Vec<ProcessStatus> {
        let mut held: BTreeMap<u32, Vec<Holds>> = BTreeMap::new();
        let mut add = |pid: u32, what| held.entry(pid).or_default().push(what);
        if let Some(fence) = fence {
            self.members
                .of(fence)
                .into_iter()
                .for_each(|pid| add(pid, Holds::Membership));
            let at = |lock| fence.holder(lock).filter(|pid| *pid > 0).map(|pid| pid as u32);
            at(Lock::Operation)
                .into_iter()
                .for_each(|pid| add(pid, Holds::Operation));
            at(Lock::Objection)
                .into_iter()
                .for_each(|pid| add(pid, Holds::Objection));
        }
        open.iter().for_each(|pid| add(*pid, Holds::File));
        held.remove(&0);
        held.remove(&std::process::id());
        let process = |(pid, holds)| {
            let command = self.commands.entry(pid).or_insert_with(|| command(pid));
            ProcessStatus {
                pid,
                role: role(command),
                command: shown(command),
                holds,
            }
        };
        held.into_iter().map(process).collect()
    }
}

fn commands(path: &Path, fence: Option<&Fence>, published: &[(u32, Published)]) -> Vec<CommandStatus> {
    let operation = fence.and_then(|fence| fence.exclusive_holder(Lock::Operation));
    let on_the_board = fence.map_or(Phase::Quiet, |fence| fence.board().phase);
    let phase = match on_the_board {
        Phase::Quiet => None,
        Phase::Settle => Some("waiting for requests"),
        Phase::Close | Phase::Moving => Some("swapping"),
        Phase::Moved => Some("making it durable"),
    };
    let mine = published
        .iter()
        .filter(|(_, published)| published.database == path);
    let mut commands: Vec<_> = mine
        .map(|(pid, published)| {
            let mut command = CommandStatus {
                pid: Some(*pid),
                ..published.command.clone()
            };
            if let Some(phase) = phase.filter(|_| operation == Some(*pid as i32)) {
                command.phase = phase.into();
                command.done = None;
                command.total = None;
            }
            command
        })
        .collect();
    // One in another container, or of another user.
    if let Some(pid) = operation.filter(|pid| !commands.iter().any(|one| one.pid == Some(*pid as u32))) {
        commands.push(CommandStatus {
            pid: u32::try_from(pid).ok().filter(|pid| *pid > 0),
            phase: phase.unwrap_or("preparing").into(),
            ..CommandStatus::default()
        });
    }
    commands
}

/// The versions that were kept next to the database, each with the mark by which the record knows it.
fn versions(path: &Path, numbers: Vec<u32>) -> Vec<(Option<Kept>, VersionStatus)> {
    let version = |number| {
        let path = previous::path_of(path, number);
        let metadata = std::fs::metadata(&path).ok()?;
        let status = VersionStatus {
            number,
            path: path.shown(),
            bytes: metadata.len(),
            modified: metadata.modified().map(record::rfc3339).unwrap_or_default(),
            only_rows: false,
        };
        Some((previous::mark_of(&path).ok(), status))
    };
    numbers.into_iter().filter_map(version).collect()
}

/// The newest push or rollback in the record. Also finds out there what the `versions` contain: opening a file could
/// make a worker wait that has just replaced it.
fn last_swap(path: &Path, versions: &mut [(Option<Kept>, VersionStatus)]) -> Option<Entry> {
    let mut last = None;
    for entry in record::newest_first(path).ok()? {
        for (mark, version) in &mut *versions {
            if mark.is_some() && *mark == entry.previous {
                version.only_rows = entry.tables.is_some();
                *mark = None;
            }
        }
        if entry.event.is_a_swap() {
            last.get_or_insert(entry);
        }
        if last.is_some() && versions.iter().all(|(mark, _)| mark.is_none()) {
            break;
        }
    }
    last
}
