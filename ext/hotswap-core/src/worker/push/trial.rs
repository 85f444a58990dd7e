//! The time after a swap in which the new database has to prove itself. If its probe fails, the same worker swaps the
//! previous version back, while it still commands the fleet.

use std::time::{Duration, Instant};

use super::previous_version;
use super::probe::Probe;
use crate::error::{Busy, Error, Failed, Result, RolledBack};
use crate::holders::Strangers;
use crate::previous;
use crate::protocol::Figures;
use crate::route::Direction;
use crate::sys::processes::Bound;
use crate::worker::account;
use crate::worker::command::Command;
use crate::worker::fleet::Fleet;

/// How long the probe waits for a process that has opened the replaced file at the last moment.
const SOON: Duration = Duration::from_secs(2);

/// Probes the database that a push has swapped in. If the probe fails, `swap_back` carries out the command that undoes
/// it.
pub(super) fn hold(
    command: &Command,
    fleet: &mut Fleet,
    pushed: Figures,
    probe: &Probe,
    swap_back: impl FnOnce(&Command, &mut Fleet) -> Result<Figures>,
) -> Result<Figures> {
    let client = command.client;
    let has_previous = client.account.has_previous();
    let pushed = Ok(pushed);
    // If this worker is killed from now on, the record has the push all the same.
    client.record(&pushed, account::PATIENCE);
    let pushed = pushed?;
    client.probing();
    client.phase("probing");
    // Early, because the probe may want to look at the previous version.
    unlock_previous(command, SOON);
    let Err(why) = probe.run() else {
        client.info("the probe passed");
        if command.settings.keep == 0 {
            previous_version::trim(command, fleet, 0);
        }
        return Ok(pushed);
    };
    client.found(pushed);
    if !has_previous {
        let database = command.database.label.clone();
        return Err(Failed::NothingBefore { why, database }.into());
    }
    client.log("warn", format_args!("the probe failed, rolling back: {why}"));
    client.status(format_args!("The probe failed: {why}. Rolling back..."));
    match go_back(command, fleet, swap_back) {
        Ok(()) => Err(RolledBack {
            why,
            database: command.database.label.clone(),
            kept: client
                .account
                .has_previous()
                .then(|| previous::path_of(&command.path, 1)),
            rows_only: command.request.tables.is_some(),
        }
        .into()),
        Err(error) => Err(Failed::NotRolledBack {
            why,
            reason: error.to_string(),
            can_retry: !matches!(error, Error::Refused(_)),
        }
        .into()),
    }
}

/// Carries out the rollback as a command of its own, in the name of the same client.
fn go_back(
    pushed: &Command,
    fleet: &mut Fleet,
    swap_back: impl FnOnce(&Command, &mut Fleet) -> Result<Figures>,
) -> Result<()> {
    let Command {
        client,
        settings,
        database,
        path,
        ..
    } = pushed;
    let request = pushed.request.undone();
    let command = Command::new(client, &request, settings, database);
    client.begin_account(path, command.entry(Direction::Rollback(1)));
    fleet.begin_another();
    let begun = Instant::now();
    if !unlock_previous(pushed, fleet.patience()) {
        let version = previous::path_of(path, 1);
        let holders = Strangers::of(&version, Bound::Patient).phrase();
        return Err(Busy::VersionOpen { version, holders }.into());
    }
    fleet.count_wait(begun);
    let back = swap_back(&command, fleet);
    pushed.keep_locked(command.into_replaced());
    let back = back?;
    client.account.note(|entry| {
        entry.bytes = Some(back.bytes);
        entry.way = back.way;
        entry.held_ms = back.held_ms;
    });
    Ok(())
}

/// The push keeps the file that it replaced locked. It is the previous version now. Returns whether it is unlocked.
fn unlock_previous(command: &Command, patience: Duration) -> bool {
    let replaced = command.take_replaced();
    let locked =
        replaced.and_then(|replaced| replaced.unlock(Instant::now() + patience, &command.client.log));
    let unlocked = locked.is_none();
    command.keep_locked(locked);
    unlocked
}
