//! A push: receives the new database, checks it, and swaps it in.

mod check_staged;
mod checked;
mod creation;
mod dry_run;
mod if_changed;
mod if_match;
mod in_place;
mod obstacle;
mod previous_version;
mod probe;
mod quick_disk;
pub(super) mod receive;
mod replace;
mod rollback;
mod room;
pub(super) mod row_counts;
pub(super) mod some_tables;
mod source;
mod timeline;
mod trial;
mod whole_database;

use std::path::Path;

use crate::error::{Busy, Context, Error, Result};
use crate::fence::Fence;
use crate::in_place::InPlace;
use crate::leftovers;
use crate::previous;
use crate::protocol::{Figures, Plan};
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::admission::{open_fence, require_locks};
use crate::worker::fleet::Fleet;
use crate::worker::live::{gone, Live};
use crate::worker::sqlite::checksums;
use crate::worker::sqlite::header::DatabaseHeader;

use checked::Checked;
use creation::Creation;
use dry_run::Rehearsal;
use if_match::IfMatch;
use obstacle::Obstacle;
use probe::Probe;
use receive::receive;
use row_counts::BeforeAndAfter;
use whole_database::WholeDatabase;

/// Pushes what the client sends into the database of `command`.
pub(super) fn run(command: &Command) -> Result<Figures> {
    let path = &*command.path;
    let was_there = path.try_exists().on_path("cannot stat", path)?;
    let new = match was_there {
        true => None,
        false => Some(Creation::begin(path)?),
    };
    let outcome = push(command, was_there);
    let is_missing = || matches!(path.try_exists(), Ok(false));
    if let Some(new) = new {
        match &outcome {
            Ok(_) if !command.request.dry_run => new.tell(command.database, command.client),
            _ if is_missing() => new.undo(),
            _ => {}
        }
    }
    outcome.map_err(|error| match error.is_of_a_call() && was_there && is_missing() {
        true => gone(path),
        false => error,
    })
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
    let (fence, obstacle) = begin(command)?;
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
    // Of some tables, only their rows say whether anything has changed.
    if request.if_changed && request.tables.is_none() {
        if let Some(identity) = if_changed::identity_of_both(&staged, live.as_mut(), command)? {
            return Ok(if_changed::report(staged.len(), identity, command));
        }
    }
    let checks = Checked::check(command, &mut staged, &mut live, obstacle);
    if request.dry_run {
        let rehearsal = Rehearsal {
            command,
            fleet: &mut fleet,
            head,
            staged,
            live,
            obstacle,
        };
        return rehearsal.run(checks, if_match);
    }
    let checks = checks?;
    let keep = previous_version::prepare(command, &fleet)?;
    checks.warnings().iter().for_each(|warning| {
        client.log("warn", warning);
        client.status(warning);
    });
    client.info(format_args!("{checked}, acquiring swap lock"));
    let figures = match checks {
        Checked::Tables(tables) => {
            let live = live.ok_or_else(|| gone(path))?;
            tables.push(command, &mut fleet, &staged, live, obstacle, keep)?
        }
        Checked::Whole(passed, rows) => {
            let mut new = WholeDatabase {
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
            new.identify()?;
            new.finish(live, obstacle, &rows)?
        }
    };
    try_out(command, &mut fleet, figures)
}

/// Removes what dead commands have left, and refuses what no swap of this database could do.
fn begin(command: &Command) -> Result<(Fence, Option<Obstacle>)> {
    let path = &*command.path;
    sweep(path, command.client);
    let obstacle = Obstacle::of(path)?;
    if let (InPlace::Never, Some(obstacle)) = (command.in_place(), obstacle) {
        return Err(obstacle.refusal(path));
    }
    let fence = open_fence(path)?;
    require_locks(&fence)?;
    Ok((fence, obstacle))
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
    let Command { client, database, .. } = command;
    client.info(format_args!("rollback started: {}", database.label));
    client.ask(Plan::Wait)?;
    let (fence, obstacle) = begin(command)?;
    let if_match = IfMatch::of(command)?;
    let mut fleet = Fleet::lead(fence, command)?;
    require_locks(fleet.fence())?;
    swap_back(command, &mut fleet, obstacle, if_match, number)
}

/// Swaps the version `number` back in. A rollback replaces the live database even if its schema is another one. So if a
/// migration changes the schema meanwhile, the worker tries again without comparing the schemas. A rollback with
/// `if_match` fails then.
fn swap_back(
    command: &Command,
    fleet: &mut Fleet,
    obstacle: Option<Obstacle>,
    if_match: Option<IfMatch>,
    number: u32,
) -> Result<Figures> {
    let is_guarded = if_match.is_some();
    match swap_version(command, fleet, obstacle, if_match, number, true) {
        Err(Error::Busy(Busy::SchemaChanged { .. })) if !is_guarded => {
            // Requests must not wait for all of the second try.
            fleet.resume()?;
            swap_version(command, fleet, obstacle, None, number, false)
        }
        swapped => swapped,
    }
}

/// Makes one try. With `compare`, the swap holds fewer requests if the version has the live schema, and
/// fails if that schema changes meanwhile.
fn swap_version(
    command: &Command,
    fleet: &mut Fleet,
    obstacle: Option<Obstacle>,
    if_match: Option<IfMatch>,
    number: u32,
    compare: bool,
) -> Result<Figures> {
    let path = &*command.path;
    let version = previous::require(path, number, &command.database.label)?;
    if some_tables::is_difference(&version)? {
        return some_tables::roll_back(command, number, fleet, if_match);
    }
    let version = rollback::take(command, number, fleet)?;
    let is_as_kept = rollback::is_as_kept(path, version.path());
    let mut staged = Staged::adopt(version.path())?;
    let mut live = Live::open(path)?;
    let (there, own) = (&mut staged, &mut live);
    // The thread borrows `live` mutably: a connection may move to another thread, but must not be shared.
    let seen = command
        .at_low_priority(move || rollback::examine(command, there, own.as_ref(), obstacle, is_as_kept))?
        .filter(|_| compare);
    let version = WholeDatabase {
        command,
        staged,
        fleet,
        schema_changes: seen.is_none(),
        seen,
        if_match,
        identity: None,
        watchdog: None,
        // What it replaces stays, so that a second rollback undoes the first.
        keep: command.settings.keep.max(1),
        version: Some(version),
        name: "rollback",
    };
    version.finish(live, obstacle, &BeforeAndAfter::default())
}

fn sweep(path: &Path, client: &Client) {
    for name in leftovers::sweep(&[path.to_owned()]) {
        client.info(leftovers::removed(&name));
    }
}
