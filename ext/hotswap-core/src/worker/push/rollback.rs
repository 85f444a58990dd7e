//! What a rollback does before its swap: it moves the previous version to a hidden name, and checks it. It copies
//! nothing, so a rollback takes as long as a swap.

use std::path::Path;
use std::time::{Duration, Instant};

use super::obstacle::Obstacle;
use super::room::{self, Operation};
use crate::error::{BadFile, Busy, Context, Error, Refused, Result};
use crate::holders::Strangers;
use crate::previous::{self, Hidden};
use crate::record;
use crate::sidecar::sidecars;
use crate::sys::processes::Bound;
use crate::visible::Shown;
use crate::worker::check::seen::Seen;
use crate::worker::check::Check;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::Fleet;
use crate::worker::live::exclusive::Exclusive;
use crate::worker::live::Live;
use crate::worker::sqlite::header::DatabaseHeader;
use crate::worker::tables;

/// How long the worker tries to lock the version at once.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it rests in between. Another worker may wait until no process has the file open.
const REST: Duration = Duration::from_millis(50);
/// The user gets no line about a wait that is shorter than this.
const SOON: Duration = Duration::from_secs(1);

/// Takes the version out of every other process's reach. Waits for a process that has it open, as `fleet` has patience.
pub(super) fn take(command: &Command, number: u32, fleet: &mut Fleet) -> Result<Hidden> {
    let begun = Instant::now();
    let deadline = begun + fleet.patience();
    let mut told = false;
    loop {
        let version = previous::require(&command.path, number, &command.database.label)?;
        let error = match hide(&version, command, number) {
            Err(Error::Busy(Busy::Open { holders, .. } | Busy::VersionOpen { holders, .. })) => {
                Busy::VersionOpen { version, holders }
            }
            taken => {
                fleet.count_wait(begun);
                return taken;
            }
        };
        if Instant::now() >= deadline {
            return Err(error.into());
        }
        if !told && begun.elapsed() >= SOON {
            told = true;
            command.client.status(format_args!("Waiting: {error}."));
        }
        command.client.check_presence()?;
        std::thread::sleep(REST);
    }
}

/// A process that has the version open under its old name would go on with the WAL of that name, and the application
/// would use another one. So the version gets a hidden name while this process is the only one that has it open.
fn hide(version: &Path, command: &Command, number: u32) -> Result<Hidden> {
    // Comes first, because opening the file breaks the lease of a worker that is about to end.
    let strangers = Strangers::of(version, Bound::Hasty);
    if !strangers.names.is_empty() {
        return Err(Busy::VersionOpen {
            version: version.to_owned(),
            holders: strangers.phrase(),
        }
        .into());
    }
    // Moves a WAL that another program has left into the file.
    let exclusive = Exclusive::take(version.to_owned(), PATIENCE)?;
    let hidden = Hidden::take(&command.path, number).on_path("cannot rename", version)?;
    exclusive.require_alone_at(hidden.path())?;
    drop(exclusive);
    sidecars(version).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    Ok(hidden)
}

/// Whether no program has written to the version since hotswap kept it. Then it is as sound as the live database was.
pub(super) fn is_as_kept(database: &Path, version: &Path) -> bool {
    let Ok(mark) = previous::mark_of(version) else {
        return false;
    };
    record::kept(database).contains(&mark)
}

/// Checks the version, and makes it fit. Returns what it saw of the live database, if both have the same schema.
pub(super) fn examine(
    command: &Command,
    staged: &mut Staged,
    live: Option<&Live>,
    obstacle: Option<Obstacle>,
    is_as_kept: bool,
) -> Result<Option<Seen>> {
    let unusable = |error| match error {
        Error::Refused(Refused::File(why)) => unusable(&command.path, &why),
        other => other,
    };
    let name = previous::path_of(&command.path, 1).shown();
    let header = DatabaseHeader::judge(&staged.head()?, staged.len(), &name);
    let own = header.map_err(unusable)?.wal;
    let wal = live.map_or(own, Live::is_wal);
    let checked = match is_as_kept {
        true => Check::of(command).schema(staged),
        false => {
            staged.set_wal(false)?;
            let checked = Check::of(command).alone(staged);
            staged.set_wal(own)?;
            checked
        }
    };
    let schema = checked.map_err(unusable)?;
    if tables::is_difference(&schema) {
        return Err(BadFile::NoDifference { name }.into());
    }
    let seen = live.and_then(|live| Check::of(command).beside_version(&schema, staged, live));
    if own != wal {
        staged.set_wal(wal)?;
    }
    if live.is_some() && obstacle.is_none() {
        staged.copy_ownership_from(&command.path)?;
    }
    staged.sync(|| command.client.check_presence())?;
    Ok(seen)
}

/// A copy of the version, to be written into the live file. The version itself stays as it is.
pub(super) fn copy(version: &Staged, command: &Command) -> Result<Staged> {
    let mut copy = Staged::create(&command.path)?;
    room::require(
        copy.file(),
        version.len(),
        "copying the previous version",
        command,
        Operation::Held,
    )?;
    command.at_low_priority(|| {
        copy.append_file(version.file(), version.len(), |done| {
            command.client.progress("copying", done, version.len());
            command.client.check_presence()
        })?;
        copy.sync(|| command.client.check_presence())
    })?;
    Ok(copy)
}

/// Checks a copy of the version that was rewritten for the live file.
pub(super) fn pass(command: &Command, copy: &mut Staged, wal: bool) -> Result<()> {
    copy.set_wal(false)?;
    Check::of(command).alone(copy)?;
    copy.set_wal(wal)?;
    copy.sync(|| command.client.check_presence())
}

/// The refusal of a version that is damaged.
pub(super) fn unusable(database: &Path, why: &BadFile) -> Error {
    let why = why.to_string();
    Refused::BadVersion {
        database: database.to_owned(),
        why: why.split(". The running").next().unwrap_or(&why).to_owned(),
    }
    .into()
}
