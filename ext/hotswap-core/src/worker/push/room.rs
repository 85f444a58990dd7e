//! Room for a push on the disk of the database. If there is too little, the worker removes the oldest previous
//! versions. A rollback removes none, because it might remove the one that the user goes back to.

use std::os::fd::AsFd;

use std::os::unix::fs::MetadataExt;

use crate::error::{Context, Error, Refused, Result};
use crate::fence::{Fence, Lock};
use crate::previous;
use crate::visible::Shown;
use crate::worker::command::Command;
use crate::worker::disk::space;

/// Whether this process holds the operation lock, without which it must not remove a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// It does.
    Held,
    /// It does not, and holds no other lock on the fence: opening the fence again drops them.
    Free,
}

/// Refuses unless `needed` bytes fit on the file system of `file`.
pub(super) fn require(
    file: impl AsFd,
    needed: u64,
    what: &'static str,
    command: &Command,
    operation: Operation,
) -> Result<()> {
    loop {
        let refused = match space::require(file.as_fd(), needed, what) {
            Err(error @ Error::Refused(Refused::NoSpace { .. })) => error,
            other => return other,
        };
        let rolls_back = command.request.src.version().is_some();
        if rolls_back || !would_help(&refused, command) || !remove_oldest(command, operation)? {
            return Err(refused);
        }
    }
}

/// Whether there is room without the versions. If not, they stay.
fn would_help(refused: &Error, command: &Command) -> bool {
    let Error::Refused(Refused::NoSpace {
        needed, margin, free, ..
    }) = refused
    else {
        return false;
    };
    let versions = previous::numbers(&command.path).into_iter();
    let taken =
        versions.filter_map(|number| std::fs::metadata(previous::path_of(&command.path, number)).ok());
    let taken: u64 = taken.map(|version| version.blocks() * 512).sum();
    taken > 0 && free + taken >= needed + margin
}

/// Returns false if there is none, or if another worker is at work.
fn remove_oldest(command: &Command, operation: Operation) -> Result<bool> {
    if command.require_own_versions().is_err() {
        return Ok(false);
    }
    let path = &*command.path;
    let _lock = match operation {
        Operation::Held => None,
        Operation::Free => {
            let fence = Fence::open(path)?;
            if !fence.try_exclusive(Lock::Operation).got() {
                return Ok(false);
            }
            Some(fence)
        }
    };
    let removed = previous::remove_oldest(path).on_path("cannot remove an old version of", path)?;
    if let Some((version, bytes)) = &removed {
        let line = format!(
            "removed {} ({bytes} bytes), because the disk has no room for this push otherwise",
            version.shown()
        );
        command.client.log("warn", &line);
        command.client.status(line);
    }
    Ok(removed.is_some())
}
