//! A push: receives the new database, checks it, and swaps it in.

mod in_place;
mod obstacle;
mod quick_disk;
pub mod receive;
mod replace;
mod rows;
mod source;
mod timeline;
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::in_place::InPlace;
use crate::leftovers;
use crate::protocol::Request;
use crate::settings::{Database, Settings};
use crate::sys::identity::Identity;
use crate::visible::Shown;
use crate::worker::check::seen::Seen;
use crate::worker::check::{Check, Passed};
use crate::worker::client::Caller;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::admission::{open_fence, require_locks};
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::fleet::Fleet;
use crate::worker::live::replaced::Replaced;
use crate::worker::live::{require_same_file, Live};
use crate::worker::low_priority::gently;
use crate::worker::sqlite::checksums;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::header::DatabaseHeader;
use crate::worker::sqlite::vfs::Purpose;
use crate::worker::summary::{How, Summary};

use in_place::{Overwriting, Why};
use obstacle::Obstacle;
use quick_disk::QuickDisk;
use receive::receive;
use replace::Swap;
use rows::Rows;

/// Pushes what the client sends into `database`. `replaced` gets the old file if another one took its place.
pub fn run(
    caller: &mut Caller,
    job: &Settings,
    database: &Database,
    request: &Request,
    replaced: &mut Option<Replaced>,
) -> Result<()> {
    let path = &*database.resolved();
    let was_there = path.try_exists().on_path("cannot stat", path)?;
    let pushed = push(path, was_there, caller, job, database, request, replaced);
    let is_missing = || matches!(path.try_exists(), Ok(false));
    pushed.map_err(|error| match error {
        Error::Io { .. } | Error::Sqlite { .. } if was_there && is_missing() => gone(path),
        error => error,
    })
}

/// The error for a live database that existed when the push began and does not any more.
fn gone(path: &Path) -> Error {
    Error::Busy(format!(
        "{} was removed by another program during the push, so nothing was swapped. Copy again when it is back, or if \
         there is to be a new one",
        path.shown()
    ))
}

fn push(
    path: &Path,
    was_there: bool,
    caller: &mut Caller,
    job: &Settings,
    database: &Database,
    request: &Request,
    replaced: &mut Option<Replaced>,
) -> Result<()> {
    caller.info(format_args!(
        "push started: {} → {}",
        request.src.raw, database.label
    ));
    sweep(path, caller);
    let choice = request.in_place.unwrap_or(job.in_place);
    let obstacle = Obstacle::of(path)?;
    if let (InPlace::Never, Some(obstacle)) = (choice, obstacle) {
        return Err(obstacle.refusal(path));
    }

    let fence = open_fence(path)?;
    require_locks(&fence)?;
    checksums::refuse(path, &database.label)?;
    let mut staged = gently(job, || receive(caller, request, path))?;
    let (checking, checked) = match request.skip_integrity_check {
        true => ("integrity check skipped", "integrity check skipped"),
        false => ("running integrity check", "integrity check passed"),
    };
    caller.info(format_args!("received {} bytes, {checking}", staged.len()));
    DatabaseHeader::judge(&staged.head()?, staged.len(), request.src.name())?;
    checksums::refuse(staged.path(), request.src.name())?;

    let check = Check::of(database, request);
    let mut fleet = Fleet::command(fence, &database.path, job, caller)?;
    // Checked again, because receiving may have taken long.
    require_locks(fleet.fence())?;
    let mut live = Live::open(path)?;
    if was_there && live.is_none() {
        return Err(gone(path));
    }
    let (passed, rows) = {
        // The thread gets all of them, because a connection may move to another thread but must not be shared.
        let (caller, staged, live) = (&mut *caller, &mut staged, &mut live);
        gently(job, move || {
            // In a folder where only the owner of a file may remove it, a staged file with another owner would stay.
            if live.is_some() && obstacle.is_none() {
                staged.dress_like(path)?;
            }
            let passed = pass(check, staged, live.as_ref(), caller)?;
            let before = live
                .as_ref()
                .map(|live| Rows::count(live.connection(), live.path()));
            let after = Foreign::open(staged.path(), Purpose::Reading, &database.extensions, caller)
                .map(|judging| Rows::count(&judging, staged.path()));
            Ok::<_, Error>((passed, (before.unwrap_or_default(), after.unwrap_or_default())))
        })?
    };

    for warning in &passed.warnings {
        caller.log("warn", warning);
        caller.status(warning);
    }
    caller.info(format_args!("{checked}, acquiring swap lock"));
    caller.status("Swapping database...");
    let live_before = live.as_ref().map(Live::identity);
    let mut push = Push {
        caller,
        job,
        database,
        check,
        staged,
        fleet: &mut fleet,
        schema_changes: passed.schema_changes,
        replaced,
        seen: passed.seen,
        watchdog: None,
    };
    let outcome = push.swap(path, live, obstacle, choice);
    let moved = push.staged.is_promoted();
    let how = outcome.map_err(|error| match live_before {
        Some(expected) if !moved => blame_another_program(error, path, expected),
        _ => error,
    })?;
    if let Some(warning) = push.seen.as_ref().and_then(Seen::late_jobs) {
        push.caller.log("warn", &warning);
        push.caller.status(warning);
    }
    let summary = Summary {
        label: &database.label,
        bytes: push.staged.len(),
        how,
        held: push.fleet.held(),
    };
    let options = request
        .options()
        .iter()
        .fold(String::new(), |all, option| format!("{all}, {option}"));
    push.caller
        .status(format_args!("{summary}{}.", rows.0.changes_to(&rows.1)));
    let end = push.caller.end();
    push.caller
        .info(format_args!("push complete: {summary}{options}, {end}"));
    Ok(())
}

/// A push whose file has arrived and passed the checks.
struct Push<'a> {
    caller: &'a mut Caller,
    job: &'a Settings,
    database: &'a Database,
    check: Check<'a>,
    staged: Staged,
    fleet: &'a mut Fleet,
    schema_changes: bool,
    replaced: &'a mut Option<Replaced>,
    seen: Option<Seen>,
    /// Ends the worker if a slow disk delays the end of the push. Dropped after the staged file.
    watchdog: Option<Watchdog>,
}

impl Push<'_> {
    fn warn_of_unseen(&mut self, path: &Path, unseen: &[String]) {
        if !unseen.is_empty() {
            let who = unseen.join(", ");
            let path = path.shown();
            self.caller.log(
                "warn",
                format_args!("it could not be found out in time who has {path} open: {who} did not let itself be looked at"),
            );
        }
    }

    fn swap(
        &mut self,
        path: &Path,
        live: Option<Live>,
        obstacle: Option<Obstacle>,
        choice: InPlace,
    ) -> Result<How> {
        let why = Why::foreseen(choice, obstacle, path, |unseen| self.warn_of_unseen(path, unseen));
        match why {
            Some(why) if live.is_some() => self.overwrite(live, &why, choice).map(|()| How::InPlace),
            _ => match self.replace(path, live) {
                Err(Error::Stranger {
                    who,
                    of_the_application,
                    ..
                }) if choice == InPlace::Auto => {
                    self.fleet.resume()?;
                    let why = Why::Strangers {
                        who,
                        of_the_application,
                    };
                    self.overwrite(Live::open(path)?, &why, choice)?;
                    Ok(How::InPlace)
                }
                replaced => replaced.map(|()| How::Renamed),
            },
        }
    }

    /// Replaces the database by a rename. While the disk is too slow for that, requests go on.
    fn replace(&mut self, path: &Path, mut live: Option<Live>) -> Result<()> {
        let (stamp, expected) = (self.staged.stamp()?, live.as_ref().map(Live::identity));
        let mut disk = QuickDisk::of(path, self.job);
        loop {
            let swap = Swap {
                path,
                fleet: self.fleet,
                live,
                staged: &mut self.staged,
                stamp,
                disk: &disk,
                schema_changes: self.schema_changes,
                seen: self.seen.as_ref(),
            };
            match swap.run(self.job, self.caller, self.replaced) {
                Err(Error::SlowDisk) => {}
                outcome => return outcome,
            }
            self.fleet.resume()?;
            disk.wait(path, self.staged.path(), self.caller, &mut self.watchdog)?;
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
    fn overwrite(&mut self, live: Option<Live>, why: &Why, choice: InPlace) -> Result<()> {
        let mut live = live.ok_or_else(|| Error::Busy("the live database was removed meanwhile".into()))?;
        if let Some(seen) = &self.seen {
            require_same_file(live.path(), seen.identity)?;
        }
        let (staged, extensions) = (&mut self.staged, &self.database.extensions);
        let (caller, check) = (&mut *self.caller, self.check);
        let open = &mut live;
        gently(self.job, move || {
            match in_place::fit(staged, open, extensions, caller)? {
                true => pass(check, staged, Some(&*open), caller).map(drop),
                false => Ok(()),
            }
        })?;
        let overwriting = Overwriting {
            fleet: self.fleet,
            live,
            staged: &self.staged,
            schema_changes: self.schema_changes,
            seen: self.seen.as_ref(),
            why,
            all_pages: false,
        };
        overwriting.run(choice, self.job, self.caller)
    }
}

/// If the live file has been moved away, reports that instead of an error that it caused.
fn blame_another_program(error: Error, path: &Path, expected: Identity) -> Error {
    let is_a_failure = matches!(error, Error::Io { .. } | Error::Sqlite { .. });
    match require_same_file(path, expected) {
        Err(moved @ Error::Busy(_)) if is_a_failure => moved,
        _ => error,
    }
}

fn sweep(path: &Path, caller: &mut Caller) {
    for name in leftovers::sweep(&[path.to_owned()]) {
        caller.info(leftovers::removed(&name));
    }
}

/// Checks the staged file as a database that is not in WAL mode, so that SQLite needs no other file beside it. Then
/// gives it the journal mode of the live database, and makes it durable. Converting it later would be a race between
/// the application's first connections.
fn pass(check: Check<'_>, staged: &mut Staged, live: Option<&Live>, caller: &mut Caller) -> Result<Passed> {
    let own = DatabaseHeader::read(&staged.head()?).wal;
    staged.keep_a_log(false)?;
    let passed = check.run(staged, live, caller)?;
    staged.keep_a_log(live.map_or(own, Live::is_wal))?;
    staged.sync(|| caller.check_presence())?;
    Ok(passed)
}
