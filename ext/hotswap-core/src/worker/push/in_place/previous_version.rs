//! The previous version of a database that keeps its file: a copy of the state right before the commit.
//!
//! In WAL mode the worker only pins that state while requests wait, and copies it afterwards. With a rollback journal a
//! reader would keep the writer out, so the worker copies the file while it has the write lock.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::{Duration, Instant};

use super::reason::Why;
use crate::error::{Context, Error, Refused, Result};
use crate::previous;
use crate::record;
use crate::visible::Shown;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::push::obstacle::Obstacle;
use crate::worker::push::room::{self, Operation};
use crate::worker::snapshot::pin::Pin;

/// How much is copied to find out how long the copy takes, in bytes.
const PART: u64 = 16 * 1024 * 1024;

/// Whether the content before stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// It does not.
    Nothing,
    /// It stays if it can.
    IfPossible,
    /// It stays, or nothing is written.
    Required,
}

impl Keeping {
    /// For a push that leaves `keep` versions, and may have to go back to the newest one.
    pub(crate) fn in_a_push(keep: u32, is_probed: bool) -> Self {
        match (keep, is_probed) {
            (0, _) => Self::Nothing,
            (_, false) => Self::IfPossible,
            (_, true) => Self::Required,
        }
    }
}

/// The version that stays.
#[derive(Debug)]
pub(super) enum Keep {
    /// None.
    Nothing,
    /// The state that this holds.
    Pinned(Pin),
    /// A copy of the file.
    Copied {
        /// Stays open until the process ends, because closing it would drop SQLite's locks.
        source: ManuallyDrop<File>,
        /// Empty until the worker has the write lock.
        copy: Staged,
        /// How long the copy takes.
        time: Duration,
    },
    /// None, because something failed. The push goes on.
    Failed(Error),
}

impl Keep {
    /// Prepares it, with the gates open. Fails only if it has to be kept.
    pub(super) fn prepare(live: &Live, keeping: Keeping, command: &Command) -> Result<Self> {
        if keeping == Keeping::Nothing {
            return Ok(Self::Nothing);
        }
        let path = live.path();
        let prepared = match std::fs::metadata(path) {
            // A database without content is nothing to go back to.
            Ok(metadata) if metadata.len() == 0 => Ok(Self::Nothing),
            Ok(_) if live.is_wal() => Pin::prepare(path).map(Self::Pinned),
            Ok(metadata) => Self::prepare_copy(path, metadata.len(), command),
            Err(error) => Err(error).on_path("cannot stat", path),
        };
        prepared.or_else(|error| failed(error, keeping, path))
    }

    fn prepare_copy(live: &Path, length: u64, command: &Command) -> Result<Self> {
        let source = ManuallyDrop::new(File::open(live).on_path("cannot open", live)?);
        let (mut part, begun) = (Staged::create(live)?, Instant::now());
        room::require(
            part.file(),
            length,
            "keeping the previous version",
            command,
            Operation::Held,
        )?;
        part.append_file(&source, length.min(PART), |_| Ok(()))?;
        let rest = length as f64 / part.len().max(1) as f64;
        Ok(Self::Copied {
            time: begun.elapsed().mul_f64(rest.max(1.0)),
            source,
            copy: Staged::create(live)?,
        })
    }

    /// How long requests wait for it.
    pub(super) fn time(&self) -> Duration {
        match self {
            Self::Copied { time, .. } => *time,
            _ => Duration::ZERO,
        }
    }

    /// Takes the state of now, if that shortens [`take`](Self::take). Requests go on, and `checkpoint` runs first: it
    /// needs a WAL that is not held.
    pub(super) fn take_for_now(&mut self, checkpoint: impl FnOnce()) {
        let Self::Pinned(pin) = self else {
            return checkpoint();
        };
        // `take` reports what fails.
        let _ = pin.let_go();
        checkpoint();
        let _ = pin.hold_for_now();
    }

    /// Takes the state. The worker has the write lock and has written nothing. Fails if `in_time` does, or if the state
    /// has to be kept.
    pub(super) fn take(
        &mut self,
        keeping: Keeping,
        live: &Path,
        in_time: impl Fn() -> Result<()>,
    ) -> Result<()> {
        let taken = match self {
            Self::Pinned(pin) => pin.hold(),
            Self::Copied { source, copy, .. } => match source.metadata() {
                Ok(metadata) => {
                    let mut late = Ok(());
                    let copied = copy.append_file(source, metadata.len(), |_| {
                        late = in_time();
                        match late {
                            Ok(()) => Ok(()),
                            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut))
                                .context("the copy takes too long"),
                        }
                    });
                    late?;
                    copied
                }
                Err(error) => Err(error).context("cannot stat the live database"),
            },
            Self::Nothing | Self::Failed(_) => Ok(()),
        };
        if let Err(error) = taken {
            *self = failed(error, keeping, live)?;
        }
        Ok(())
    }

    /// Puts the version in its place. Requests go on meanwhile. The push is done, so a failure is only a warning.
    /// Returns whether the version is there.
    pub(super) fn finish(self, live: &Path, why: &Why, keeping: Keeping, command: &Command) -> bool {
        // There, only the owner of a file may rename or remove it.
        let in_sticky_folder = *why == Why::Obstacle(Obstacle::StickyFolder);
        let placed = command.at_low_priority(move || match self {
            Self::Nothing => Ok(None),
            Self::Failed(error) => Err(error),
            Self::Copied { copy, .. } => place(copy, live, !in_sticky_folder).map(Some),
            Self::Pinned(pin) => {
                let copy = copy_of(pin, live, keeping, command)?;
                copy.map(|copy| place(copy, live, !in_sticky_folder)).transpose()
            }
        });
        match placed {
            Ok(mark) => {
                command.client.account.note(|entry| entry.previous = mark);
                mark.is_some()
            }
            Err(error) => {
                let warning = format!(
                    "the new content is in place, but the one before could not be kept as {}: {error}",
                    previous::path_of(live, 1).shown()
                );
                command.client.log("warn", &warning);
                command.client.status(format_args!("WARNING: {warning}"));
                false
            }
        }
    }
}

/// What a push does without, a rollback does not.
fn failed(error: Error, keeping: Keeping, live: &Path) -> Result<Keep> {
    match keeping {
        Keeping::Required => Err(cannot_keep(&error, live)),
        _ => Ok(Keep::Failed(error)),
    }
}

/// The refusal of a write that would lose what it replaces.
pub(super) fn cannot_keep(error: &Error, live: &Path) -> Error {
    let why = error.to_string();
    Refused::CannotKeep {
        database: live.to_owned(),
        why: why.split(". Make room").next().unwrap_or(&why).to_owned(),
    }
    .into()
}

fn copy_of(pin: Pin, live: &Path, keeping: Keeping, command: &Command) -> Result<Option<Staged>> {
    let Some(snapshot) = pin.snapshot()? else {
        return Ok(None);
    };
    let mut copy = Staged::create(live)?;
    // If it has to be kept, there was room before the write, and the reserve is for this, too.
    if keeping != Keeping::Required {
        room::require(
            copy.file(),
            snapshot.len(),
            "keeping the previous version",
            command,
            Operation::Held,
        )?;
    }
    let copied = snapshot
        .share_with(copy.file(), |_| Ok(()))
        .and_then(|shared| match shared {
            true => Ok(()),
            false => snapshot.copy_to(copy.file(), 0, |_| Ok(())),
        });
    // Closing it would drop the locks of the other connections.
    std::mem::forget(snapshot.into_file());
    copied?;
    copy.remeasure()?;
    Ok(Some(copy))
}

fn place(mut copy: Staged, live: &Path, for_its_owner: bool) -> Result<record::Kept> {
    if for_its_owner {
        copy.copy_ownership_from(live)?;
    }
    copy.sync(|| Ok(()))?;
    let mark = previous::mark_of(copy.path()).on_path("cannot stat", copy.path())?;
    copy.become_version(live)?;
    let folder = live.parent().unwrap_or(Path::new("/"));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.on_path("cannot sync the folder of", live)?;
    Ok(mark)
}
