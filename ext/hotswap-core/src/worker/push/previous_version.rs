//! The database that a push replaces, which stays next to the new one.

use std::io;
use std::path::Path;

use super::in_place::Keeping;
use crate::error::{Context, Refused, Result};
use crate::leftovers::is_absent;
use crate::previous::{self, Hidden};
use crate::record;
use crate::sys::unsupported::is_unsupported;
use crate::visible::Shown;
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::fleet::Fleet;

/// Whether the file system has no hard links, or does not give one to this user or to this file.
fn cannot_link(error: &io::Error) -> bool {
    let codes = [libc::EPERM, libc::EACCES, libc::EMLINK, libc::ENAMETOOLONG];
    is_unsupported(error) || error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// The replaced file.
#[derive(Debug)]
pub(super) enum Kept {
    /// It does not stay.
    Nothing,
    /// It is in its place.
    Placed(record::Kept),
    /// It has a second name, because the new file takes the first one.
    Linked(Hidden),
    /// It cannot have a second name, so it does not stay.
    Unlinked(io::Error),
    /// It stays, but not yet in its place.
    Misplaced(io::Error),
}

impl Kept {
    /// Gives the live file a second name, right before the new file takes the first one.
    pub(super) fn link(live: &Path, keeping: Keeping) -> Result<Self> {
        if keeping == Keeping::Nothing {
            return Ok(Self::Nothing);
        }
        // A database without content is nothing to go back to.
        if std::fs::metadata(live).is_ok_and(|live| live.len() == 0) {
            return Ok(Self::Nothing);
        }
        match Hidden::link(live) {
            Ok(hidden) => Ok(Self::Linked(hidden)),
            Err(error) if cannot_link(&error) => match keeping {
                Keeping::Required => Err(Refused::NoWayBack {
                    database: live.to_owned(),
                    why: format!("it cannot have a second name (a hard link): {error}"),
                }
                .into()),
                _ => Ok(Self::Unlinked(error)),
            },
            Err(error) => Err(error).on_path("cannot keep the previous version of", live),
        }
    }

    /// Makes the replaced file the newest version. Called right after the new file has taken its place, and before the
    /// sync that makes both durable.
    pub(super) fn put_in_place(self) -> Self {
        match self {
            Self::Linked(hidden) => {
                let mark = previous::mark_of(hidden.path());
                let placed = hidden.settle().and(mark);
                placed.map_or_else(Self::Misplaced, Self::Placed)
            }
            other => other,
        }
    }

    /// Tells the record what is kept, and the log what went wrong. Called when the gates are open again.
    pub(super) fn tell(&self, live: &Path, client: &Client) {
        let live = live.shown();
        match self {
            Self::Nothing | Self::Linked(_) => {}
            Self::Placed(mark) => client.account.note(|entry| entry.previous = Some(*mark)),
            Self::Unlinked(error) => client.log(
                "warn",
                format_args!("cannot keep the previous version of {live}, because it cannot have a second name (a hard link): {error}"),
            ),
            Self::Misplaced(error) => client.log(
                "warn",
                format_args!("the previous version of {live} is not in its place yet: {error}. The next push puts it there"),
            ),
        }
    }
}

/// How many versions stay next to the database of `command`. None if another managed database has the name of one.
fn count(command: &Command) -> u32 {
    match command.require_own_versions() {
        // A push with a probe has to be able to go back.
        Ok(()) if command.is_probed() => command.settings.keep.max(1),
        Ok(()) => command.settings.keep,
        Err(error) => {
            command.client.log("warn", error);
            0
        }
    }
}

/// Makes room for the version that a push is to keep. Returns how many versions stay.
pub(super) fn prepare(command: &Command, fleet: &Fleet) -> Result<u32> {
    let keep = count(command);
    if keep > 0 && !fleet.owns_versions() {
        set_foreign_aside(command)?;
    }
    Ok(keep)
}

/// Moves files aside that have the names of versions, but are not hotswap's. Called before the first version is kept.
fn set_foreign_aside(command: &Command) -> Result<()> {
    let path = &*command.path;
    let aside = previous::set_foreign_aside(path).on_path("cannot move a file aside next to", path)?;
    for file in aside {
        let text = format!(
            "a file that hotswap has not put there had the name of a previous version of {}; it is {} now",
            path.shown(),
            file.shown()
        );
        command.client.log("warn", &text);
        command.client.status(format_args!("WARNING: {text}"));
    }
    Ok(())
}

/// Removes the versions that are too many. Called when the gates are open again, because removing a large file takes
/// time.
pub(super) fn trim(command: &Command, fleet: &Fleet, keep: u32) {
    let client = command.client;
    if command.require_own_versions().is_err() {
        return;
    }
    let is_own = fleet.owns_versions();
    match command.at_low_priority(|| previous::trim(&command.path, keep, is_own)) {
        Ok(removed) => {
            for version in removed {
                client.log(
                    "debug",
                    format_args!("removed {}, an older version", version.shown()),
                );
            }
        }
        Err(error) if is_absent(&error) => {}
        Err(error) => client.log(
            "warn",
            format_args!(
                "cannot remove an old version of {}: {error}",
                command.path.shown()
            ),
        ),
    }
}
