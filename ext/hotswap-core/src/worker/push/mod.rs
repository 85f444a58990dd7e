//! A push: receives the new database, checks it, and swaps it in.

mod dry_run;
mod if_changed;
mod if_match;
mod in_place;
mod kept;
mod obstacle;
mod pass;
mod probe;
mod quick_disk;
pub(super) mod receive;
mod replace;
mod rollback;
mod room;
pub(super) mod rows;
pub(super) mod some_tables;
mod source;
mod timeline;
mod trial;

use std::path::{Path, PathBuf};

use crate::content_id::ContentId;
use crate::error::{Busy, Context, Error, Refused, Result};
use crate::fence::{self, Fence, Lock};
use crate::in_place::InPlace;
use crate::leftovers;
use crate::previous::{self, Hidden, Returned};
use crate::protocol::{Figures, Plan, Request, Way};
use crate::sys::birth;
use crate::sys::identity::Identity;
use crate::visible::Shown;
use crate::worker::check::seen::Seen;
use crate::worker::check::Passed;
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::admission::{open_fence, require_locks};
use crate::worker::fleet::participants;
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::fleet::Fleet;
use crate::worker::live::{require_same_file, Live};
use crate::worker::snapshot::identity_of;
use crate::worker::sqlite::checksums;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::header::DatabaseHeader;
use crate::worker::sqlite::vfs::Purpose;
use crate::worker::summary::Summary;

use dry_run::Rehearsal;
use if_match::IfMatch;
use in_place::{Keeping, Overwriting, Source, Why};
use obstacle::Obstacle;
use pass::pass;
use probe::Probe;
use quick_disk::QuickDisk;
use receive::receive;
use replace::Swap;
use rows::Rows;
use some_tables::SomeTables;

/// Pushes what the client sends into the database of `command`.
pub(super) fn run(command: &Command) -> Result<Figures> {
    let path = &*command.path;
    let was_there = path.try_exists().on_path("cannot stat", path)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let made = match was_there {
        true => Vec::new(),
        false => birth::make_folder(folder).on_path("cannot create the folder", folder)?,
    };
    let is_missing = || matches!(path.try_exists(), Ok(false));
    match push(command, was_there) {
        Ok(figures) if command.request.dry_run => {
            if is_missing() {
                unmake(&made, path);
            }
            Ok(figures)
        }
        Ok(figures) => {
            if let Some(new) = made.last() {
                let new = format!(
                    "Created {}, which did not exist. If a disk should be mounted there, mount it and push again.",
                    new.shown()
                );
                command.client.log("warn", &new);
                command.client.status(new);
            }
            Ok(figures)
        }
        Err(error) => {
            if is_missing() {
                unmake(&made, path);
            }
            match error {
                error if error.is_of_a_call() && was_there && is_missing() => Err(gone(path)),
                error => Err(error),
            }
        }
    }
}

/// Removes the folders that a push to `path` has made, unless another program uses them by now.
fn unmake(made: &[PathBuf], path: &Path) {
    let Some(folder) = made.first() else {
        return;
    };
    // A process that has joined keeps the first lock, and a worker the second. One that opens the fence now finds under
    // its own lock that the fence is not in place.
    let Ok(fence) = Fence::open(path) else {
        return;
    };
    if !fence.try_exclusive(Lock::Fence).got() || !fence.try_exclusive(Lock::Operation).got() {
        return;
    }
    let own = fence::path_of(path);
    let others = std::fs::read_dir(folder)
        .is_ok_and(|mut names| names.any(|name| name.is_ok_and(|name| name.path() != own)));
    if !others {
        let _ = std::fs::remove_file(own);
        // Only empty ones go.
        made.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}

/// The error for a live database that existed when the push began and does not any more.
fn gone(path: &Path) -> Error {
    Busy::Removed {
        database: path.to_owned(),
    }
    .into()
}

fn push(command: &Command, was_there: bool) -> Result<Figures> {
    let Command {
        client,
        request,
        database,
        path,
        ..
    } = command;
    client.info(format_args!(
        "push started: {} → {}",
        request.src.raw, database.label
    ));
    sweep(path, client);
    let obstacle = Obstacle::of(path)?;
    if let (InPlace::Never, Some(obstacle)) = (command.in_place(), obstacle) {
        return Err(obstacle.refusal(path));
    }

    let fence = open_fence(path)?;
    require_locks(&fence)?;
    checksums::refuse(path, &database.label)?;
    let if_match = IfMatch::of(command)?;
    if command.is_probed() {
        command.require_own_versions()?;
    }
    client.phase("receiving");
    let mut staged = command.at_low_priority(|| receive(command))?;
    let (checking, checked) = match request.skip_integrity_check {
        true => ("integrity check skipped", "integrity check skipped"),
        false => ("running integrity check", "integrity check passed"),
    };
    client.info(format_args!("received {} bytes, {checking}", staged.len()));
    let head = staged.head()?;
    DatabaseHeader::judge(&head, staged.len(), request.src.name())?;
    checksums::refuse(staged.path(), request.src.name())?;

    client.phase("waiting for another command");
    let mut fleet = Fleet::lead(fence, command)?;
    client.phase("checking");
    // Checked again, because receiving may have taken long.
    require_locks(fleet.fence())?;
    let mut live = Live::open(path)?;
    if was_there && live.is_none() {
        return Err(gone(path));
    }
    if let Some(selection) = &request.tables {
        let checks = SomeTables::check(command, selection, &mut staged, live.as_mut());
        if request.dry_run {
            let (tables, passed) = match checks {
                Ok(tables) => (Some(tables), Some(Ok(Passed::alone()))),
                Err(error) => (None, Some(Err(error))),
            };
            let rehearsal = Rehearsal {
                command,
                fleet: &mut fleet,
                head,
                staged,
                live,
                obstacle,
                passed,
                tables,
            };
            return rehearsal.run(None);
        }
        client.info(format_args!("{checked}, acquiring swap lock"));
        let checks = checks?;
        let live = live.ok_or_else(|| gone(path))?;
        let figures = checks.push(command, &mut fleet, &staged, live, obstacle)?;
        return try_out(command, &mut fleet, figures);
    }
    if request.if_changed {
        if let Some(identity) = if_changed::identity_of_both(&staged, live.as_mut(), command)? {
            return Ok(if_changed::report(staged.len(), identity, command));
        }
    }
    let checks = check(command, &mut staged, &mut live, obstacle);
    if request.dry_run {
        let rehearsal = Rehearsal {
            command,
            fleet: &mut fleet,
            head,
            staged,
            live,
            obstacle,
            passed: Some(checks.map(|(passed, _)| passed)),
            tables: None,
        };
        return rehearsal.run(if_match);
    }
    let (passed, rows) = checks?;
    let keep = kept::count(command);
    if keep > 0 {
        kept::set_foreign_aside(command)?;
    }
    for warning in &passed.warnings {
        client.log("warn", warning);
        client.status(warning);
    }
    client.info(format_args!("{checked}, acquiring swap lock"));
    let mut push = Push {
        command,
        staged,
        fleet: &mut fleet,
        schema_changes: passed.schema_changes,
        seen: passed.seen,
        if_match,
        identity: None,
        watchdog: None,
        keep,
        version: None,
        name: "push",
    };
    push.identify()?;
    let figures = push.finish(live, obstacle, &rows)?;
    try_out(command, &mut fleet, figures)
}

/// Probes the new content, if it is new, and goes back if the probe fails.
fn try_out(command: &Command, fleet: &mut Fleet, figures: Figures) -> Result<Figures> {
    match Probe::of(command).filter(|_| figures.changed != Some(false)) {
        Some(probe) => trial::hold(command, fleet, figures, &probe, |back, fleet| {
            swap_back(back, fleet, Obstacle::of(&back.path)?, None, 1)
        }),
        None => Ok(figures),
    }
}

/// Rolls the database of `command` back to the version `number`. What this replaces becomes the previous version.
pub(super) fn roll_back(command: &Command, number: u32) -> Result<Figures> {
    let Command {
        client,
        database,
        path,
        ..
    } = command;
    client.info(format_args!("rollback started: {}", database.label));
    client.ask(Plan::Wait)?;
    sweep(path, client);
    let obstacle = Obstacle::of(path)?;
    if let (InPlace::Never, Some(obstacle)) = (command.in_place(), obstacle) {
        return Err(obstacle.refusal(path));
    }
    let fence = open_fence(path)?;
    require_locks(&fence)?;
    let if_match = IfMatch::of(command)?;
    let mut fleet = Fleet::lead(fence, command)?;
    require_locks(fleet.fence())?;
    swap_back(command, &mut fleet, obstacle, if_match, number)
}

/// Swaps the version `number` back in.
fn swap_back(
    command: &Command,
    fleet: &mut Fleet,
    obstacle: Option<Obstacle>,
    if_match: Option<IfMatch>,
    number: u32,
) -> Result<Figures> {
    let path = &*command.path;
    let version = previous::require(path, number, &command.database.label)?;
    if some_tables::is_difference(&version)? {
        return some_tables::roll_back(command, number, fleet, if_match);
    }
    let version = rollback::take(command, number)?;
    let is_as_kept = rollback::is_as_kept(path, version.path());
    let mut staged = Staged::adopt(version.path())?;
    let mut live = Live::open(path)?;
    let (there, own) = (&mut staged, &mut live);
    // The thread borrows `live` mutably: a connection may move to another thread, but must not be shared.
    command.at_low_priority(move || rollback::examine(command, there, own.as_ref(), obstacle, is_as_kept))?;
    let push = Push {
        command,
        staged,
        fleet,
        // A migration may run until the gates close, and no check comes after that.
        schema_changes: true,
        seen: None,
        if_match,
        identity: None,
        watchdog: None,
        // What it replaces stays, so that a second rollback undoes the first.
        keep: command.settings.keep.max(1),
        version: Some(version),
        name: "rollback",
    };
    push.finish(live, obstacle, &RowCounts::default())
}

/// The rows of the live database and of the pushed file.
type RowCounts = (Rows, Rows);

/// Checks the staged file, and counts the rows.
fn check(
    command: &Command,
    staged: &mut Staged,
    live: &mut Option<Live>,
    obstacle: Option<Obstacle>,
) -> Result<(Passed, RowCounts)> {
    // The thread borrows `live` mutably: a connection may move to another thread, but must not be shared.
    command.at_low_priority(move || {
        let live = live.as_ref();
        // In a folder where only the owner of a file may remove it, a staged file with another owner would stay.
        if live.is_some() && obstacle.is_none() {
            staged.copy_ownership_from(&command.path)?;
        }
        if live.is_none() {
            staged.own_as_new(&command.path)?;
        }
        let passed = pass(command, staged, live)?;
        let before = live.map(|live| Rows::count(live.connection(), live.path()));
        let extensions = &command.database.extensions;
        let after = Foreign::open(staged.path(), Purpose::Reading, extensions, command.client)
            .map(|judging| Rows::count(&judging, staged.path()));
        Ok((passed, (before.unwrap_or_default(), after.unwrap_or_default())))
    })
}

/// A push whose file has arrived and passed the checks.
struct Push<'a> {
    command: &'a Command<'a>,
    staged: Staged,
    fleet: &'a mut Fleet,
    schema_changes: bool,
    seen: Option<Seen>,
    /// The content that the live database must have.
    if_match: Option<IfMatch>,
    /// The identity of the staged file, if the user compares identities.
    identity: Option<ContentId>,
    /// Ends the worker if a slow disk delays the end of the push. Dropped after the staged file.
    watchdog: Option<Watchdog>,
    /// How many previous versions stay beside the database.
    keep: u32,
    /// A rollback: the version that is to take the place of the live file.
    version: Option<Hidden>,
    /// "push" or "rollback".
    name: &'static str,
}

impl Push<'_> {
    /// Computes the identity of the new content, for a user who compares identities.
    fn identify(&mut self) -> Result<()> {
        let Self { command, staged, .. } = self;
        let Request {
            if_match, if_changed, ..
        } = command.request;
        if if_match.is_some() || *if_changed {
            let identity = command.at_low_priority(|| {
                identity_of(staged.file(), staged.path(), |_| command.client.check_presence())
            });
            self.identity = Some(identity?);
        }
        Ok(())
    }

    /// Swaps the file in, and tells the user and the log.
    fn finish(mut self, live: Option<Live>, obstacle: Option<Obstacle>, rows: &RowCounts) -> Result<Figures> {
        participants::tell(self.fleet.fence(), self.command);
        self.command.client.status("Swapping database...");
        let live_before = live.as_ref().map(Live::identity);
        let outcome = self.swap(live, obstacle);
        let moved = self.staged.is_promoted();
        // Also if the sync after the rename has failed.
        if moved || outcome.is_ok() {
            kept::trim(self.command, self.keep);
        }
        let way = outcome.map_err(|error| match live_before {
            Some(expected) if !moved => blame_another_program(error, &self.command.path, expected),
            _ => error,
        })?;
        Ok(self.report(way, rows))
    }

    fn warn_of_unseen(&self, unseen: &[String]) {
        if !unseen.is_empty() {
            let who = unseen.join(", ");
            let path = self.command.path.shown();
            self.command.client.log(
                "warn",
                format_args!("could not find out in time which processes have {path} open: {who} could not be inspected"),
            );
        }
    }

    fn swap(&mut self, live: Option<Live>, obstacle: Option<Obstacle>) -> Result<Way> {
        let (path, choice) = (&*self.command.path, self.command.in_place());
        let why = Why::foreseen(choice, obstacle, path, |unseen| self.warn_of_unseen(unseen));
        match why {
            Some(why) if live.is_some() => self.overwrite(live, &why).map(|()| Way::InPlace),
            _ => match self.replace(live) {
                Err(Error::Busy(Busy::Open {
                    holders,
                    of_the_application,
                    ..
                })) if choice == InPlace::Auto => {
                    self.fleet.resume()?;
                    let why = Why::Strangers {
                        who: holders,
                        of_the_application,
                    };
                    self.overwrite(Live::open(path)?, &why)?;
                    Ok(Way::InPlace)
                }
                replaced => replaced.map(|()| Way::Rename),
            },
        }
    }

    fn keeping(&self) -> Keeping {
        Keeping::in_a_push(self.keep, self.command.is_probed())
    }

    fn count_write(&mut self) -> Result<()> {
        let command = self.command;
        self.if_match
            .as_mut()
            .map_or(Ok(()), |if_match| if_match.count_write(command))
    }

    /// Replaces the database by a rename. While the disk is too slow for that, requests go on.
    fn replace(&mut self, mut live: Option<Live>) -> Result<()> {
        let path = &*self.command.path;
        let (stamp, expected) = (self.staged.stamp()?, live.as_ref().map(Live::identity));
        let (mut disk, keep) = (QuickDisk::of(self.command), self.keeping());
        loop {
            let unwritten = match &self.if_match {
                Some(if_match) => Some(if_match.compare(live.as_mut(), self.command)?),
                None => None,
            };
            let swap = Swap {
                fleet: self.fleet,
                live,
                staged: &mut self.staged,
                stamp,
                disk: &disk,
                schema_changes: self.schema_changes,
                seen: self.seen.as_ref(),
                unwritten,
                keep,
            };
            let slow = match swap.run(self.command) {
                Err(Error::Busy(Busy::SlowDisk)) => true,
                Err(Error::Busy(Busy::Written)) => false,
                outcome => return outcome,
            };
            self.fleet.resume()?;
            if !slow {
                self.count_write()?;
            }
            if slow {
                disk.wait(self.staged.path(), self.command, &mut self.watchdog)?;
            }
            live = match expected {
                Some(expected) => {
                    let again = Live::open(path)?;
                    require_same_file(path, expected)?;
                    again
                }
                None => None,
            };
        }
    }

    /// Writes the new content into the live file, in one transaction.
    fn overwrite(&mut self, live: Option<Live>, why: &Why) -> Result<()> {
        let mut live = live.ok_or_else(|| gone(&self.command.path))?;
        let version = self.copy_version()?;
        if let Some(seen) = &self.seen {
            require_same_file(live.path(), seen.identity)?;
        }
        let expected = live.identity();
        let rolls_back = version.is_some();
        let keep = match rolls_back {
            true => Keeping::Required,
            false => self.keeping(),
        };
        let (command, staged, open) = (self.command, &mut self.staged, &mut live);
        let rewritten = command.at_low_priority(move || match in_place::fit(staged, open, command)? {
            // A version may have another schema.
            true if rolls_back => rollback::pass(command, staged, open.is_wal()).map(|()| true),
            true => pass(command, staged, Some(&*open)).map(|_| true),
            false => Ok(false),
        })?;
        if rewritten {
            self.identify()?;
        }
        loop {
            let unwritten = match &self.if_match {
                Some(if_match) => Some(if_match.compare(Some(&mut live), command)?),
                None => None,
            };
            let overwriting = Overwriting {
                fleet: self.fleet,
                live,
                staged: &self.staged,
                source: Source::File,
                schema_changes: self.schema_changes,
                seen: self.seen.as_ref(),
                unwritten,
                why,
                keep,
                all_pages: false,
            };
            match overwriting.run(command) {
                Err(Error::Busy(Busy::Written)) => {
                    self.fleet.resume()?;
                    self.count_write()?;
                }
                outcome => {
                    let done = outcome.map_err(|error| match error {
                        Error::Refused(Refused::CannotKeep { database, why }) if !rolls_back => {
                            Refused::NoWayBack { database, why }.into()
                        }
                        error => error,
                    })?;
                    let kept = done.kept;
                    if let Some(version) = version.filter(|_| kept) {
                        self.remove_version(version);
                    }
                    return Ok(());
                }
            }
            live = Live::open(&command.path)?.ok_or_else(|| gone(&command.path))?;
            require_same_file(&command.path, expected)?;
        }
    }

    /// A rollback in place: copies the version, which has its own name meanwhile. So a worker that dies loses no version.
    fn copy_version(&mut self) -> Result<Option<Returned>> {
        let Some(version) = self.version.take() else {
            return Ok(None);
        };
        self.staged = rollback::copy(&self.staged, self.command)?;
        let path = version.path().to_owned();
        version.give_back().on_path("cannot rename", &path).map(Some)
    }

    /// The live file has the content of the version now, and what it had is the newest version.
    fn remove_version(&self, version: Returned) {
        if let Err(error) = version.remove() {
            let path = self.command.path.shown();
            self.command.client.log(
                "warn",
                format_args!("cannot remove the version of {path} that is live again: {error}"),
            );
        }
    }

    /// Tells the user and the log what was done.
    fn report(&self, way: Way, rows: &RowCounts) -> Figures {
        let Command { client, request, .. } = self.command;
        if let Some(warning) = self.seen.as_ref().and_then(Seen::late_jobs) {
            client.log("warn", &warning);
            client.status(warning);
        }
        client.account.note(|entry| entry.rows = rows.1.counted());
        let summary = Summary {
            command: self.name,
            label: &self.command.database.label,
            bytes: self.staged.len(),
            way,
            held: self.fleet.held(),
        };
        let options = request
            .options()
            .iter()
            .fold(String::new(), |all, option| format!("{all}, {option}"));
        client.status(format_args!("{summary}{}.", rows.0.changes_to(&rows.1)));
        client.info(format_args!(
            "{} complete: {summary}{options}, {}",
            summary.command,
            client.end()
        ));
        Figures {
            identity: self.identity,
            changed: request.if_changed.then_some(true),
            ..summary.figures()
        }
    }
}

/// If the live file has been moved away, reports that instead of an error that it caused.
fn blame_another_program(error: Error, path: &Path, expected: Identity) -> Error {
    match require_same_file(path, expected) {
        Err(moved @ Error::Busy(_)) if error.is_of_a_call() => moved,
        _ => error,
    }
}

fn sweep(path: &Path, client: &Client) {
    for name in leftovers::sweep(&[path.to_owned()]) {
        client.info(leftovers::removed(&name));
    }
}
