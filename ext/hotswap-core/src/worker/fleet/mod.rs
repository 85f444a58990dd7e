//! The fleet, as the worker sees it: every process that holds the fence of one database.
//!
//! The worker alone decides, and only by kernel locks. It posts its requests on the board in two steps, so that a
//! slow request in one process does not hold up requests in the others:
//!
//! 1. settle: gates stay open until the work that was running has ended in every member (the straggler lock).
//! 2. close: gates are closed, for at most `max_pause`, until no member is left in the database (the fence lock).
//!
//! After a failed attempt every member lets its requests through before the next attempt.

pub(super) mod admission;
pub(super) mod blockers;
mod gather;
pub(super) mod participants;
pub(super) mod pull_lock;
pub(super) mod watchdog;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Busy, Change, Error, Result};
use crate::fence::report::Collector;
use crate::fence::{self, Board, Fence, Lock, Phase, Tried};
use crate::holders;
use crate::previous;
use crate::visible::Shown;
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::summary::Held;

use admission::open_fence;
use blockers::Blockers;

/// The worker's hold on the fleet. Dropping it withdraws every request.
pub(super) struct Fleet {
    fence: Fence,
    /// The path of the database as configured. A symbolic link in it may have led elsewhere when a member joined.
    configured: PathBuf,
    board: Board,
    /// The board before an announcement that is still pending.
    before: Option<Board>,
    reports: Collector,
    seen_blockers: Blockers,
    max_pause: Duration,
    timeout: Duration,
    /// How long this swap has waited for the application so far.
    waited: Duration,
    /// When the gates were closed, if they are.
    closed_at: Option<Instant>,
    held: Held,
}

impl Fleet {
    /// Becomes the one worker that may command the fleet behind `fence`. Waits for another worker to finish.
    pub(super) fn lead(mut fence: Fence, command: &Command) -> Result<Self> {
        let live = &*fence.database().to_owned();
        let deadline = Instant::now() + command.timeout();
        let mut told = false;
        loop {
            match fence.try_exclusive(Lock::Operation) {
                // A failed push or a dry run may have removed the fence before this worker had a lock on it.
                Tried::Got if !fence.is_in_place() && Instant::now() <= deadline => {
                    fence = open_fence(live)?;
                    continue;
                }
                Tried::Got => break,
                Tried::Impossible(errno) => return Err(unlockable(live, errno)),
                Tried::Held => {}
            }
            let other = fence
                .holder(Lock::Operation)
                .map_or("another process".into(), |pid| holders::name(pid as u32));
            if Instant::now() > deadline {
                return Err(Busy::Swapping {
                    database: live.to_owned(),
                    other,
                }
                .into());
            }
            if !told {
                command.client.status(format_args!(
                    "Waiting for {other}, which is swapping this database..."
                ));
                told = true;
            }
            command.client.check_presence()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        recover_versions(live, command.client);
        let reports = Collector::open(live)?;
        if matches!(fence.board().phase, Phase::Moving | Phase::Moved) {
            fence.finish_what_a_dead_worker_began(command.timeout());
        }
        let board = Board {
            phase: Phase::Quiet,
            schema_changes: false,
            max_pause: command.max_pause(),
            report: reports.id(),
            ..fence.board()
        };
        let mut fleet = Self {
            fence,
            configured: command.database.path.clone(),
            board,
            before: None,
            reports,
            seen_blockers: Blockers::default(),
            max_pause: command.max_pause(),
            timeout: command.timeout(),
            waited: Duration::ZERO,
            closed_at: None,
            held: Held::default(),
        };
        // Withdraws what a dead worker asked for.
        fleet.ask(Phase::Quiet)?;
        Ok(fleet)
    }

    /// Requires that this fence is the one at the path, because a process that joins now opens that one.
    fn require_in_place(&self) -> Result<()> {
        if self.fence.is_in_place() {
            return Ok(());
        }
        Err(Busy::Changed {
            path: fence::path_of(self.fence.database()),
            change: Change::RemovedOrReplaced,
        }
        .into())
    }

    fn ask(&mut self, phase: Phase) -> Result<()> {
        self.board.phase = phase;
        self.fence.post(&self.board)
    }

    /// Announces that the file is about to move. This comes before the rename: it is harmless if a member looks for
    /// a change in vain, but not if it misses one. `keeps_version`: the file that it replaces becomes a version.
    pub(super) fn announce(&mut self, schema_changes: bool, keeps_version: bool) -> Result<()> {
        self.require_in_place()?;
        self.before = Some(self.board);
        self.board.generation += 1;
        self.board.owns_versions |= keeps_version;
        if schema_changes {
            self.board.schema_generation = self.board.generation;
        }
        let asked = self.ask(Phase::Moving);
        if asked.is_err() {
            self.retract();
        }
        asked
    }

    /// Takes the announcement back: nothing has moved after all. No member has seen it, because all are closed and
    /// read the board only when they come back.
    pub(super) fn retract(&mut self) {
        if let Some(before) = self.before.take() {
            self.board = Board {
                generation: before.generation,
                schema_generation: before.schema_generation,
                owns_versions: before.owns_versions,
                ..self.board
            };
        }
    }

    /// Whether an earlier command has kept a version, and so owns the names of versions.
    pub(super) fn owns_versions(&self) -> bool {
        self.board.owns_versions
    }

    /// The fence that holds the locks.
    pub(super) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Makes the members, all of which are closed, wait for up to `time`.
    pub(super) fn ask_for(&mut self, time: Duration) -> Result<()> {
        self.board.max_pause = time;
        self.fence.post(&self.board)
    }

    /// Lets every member into a file that has moved, although a slow disk has not yet made that durable.
    pub(super) fn let_in(&mut self) {
        self.before = None;
        // If the board cannot be written, it still says *moving*. The members then sync the folder themselves,
        // within their bound.
        let _ = self.ask(Phase::Moved);
        self.fence.unlock(Lock::Straggler);
        self.fence.unlock(Lock::Fence);
    }

    /// Lets every member in again.
    pub(super) fn resume(&mut self) -> Result<()> {
        self.before = None;
        let asked = self.ask(Phase::Quiet);
        self.fence.unlock(Lock::Straggler);
        self.fence.unlock(Lock::Fence);
        if let Some(closed_at) = self.closed_at.take() {
            self.held.add(closed_at.elapsed());
        }
        asked
    }

    /// Another swap begins: counts anew how long requests are held up, and how long the worker has waited for them.
    pub(super) fn begin_another(&mut self) {
        self.held = Held::default();
        self.waited = Duration::ZERO;
    }

    /// How long this swap may still wait for the application or its disk. Tries that come to nothing share the timeout.
    pub(super) fn patience(&self) -> Duration {
        self.timeout.saturating_sub(self.waited)
    }

    /// Counts a wait that began at `begun`.
    pub(super) fn count_wait(&mut self, begun: Instant) {
        self.waited += begun.elapsed();
    }

    /// How long requests have been held up so far.
    pub(super) fn held(&self) -> Held {
        self.held
    }
}

/// Finishes what a dead worker began with the previous versions. The caller holds the operation lock.
fn recover_versions(live: &Path, client: &Client) {
    match previous::recover(live) {
        Ok(0) => {}
        Ok(_) => client.info(previous::recovered(live)),
        Err(error) => client.log(
            "warn",
            format_args!("cannot recover the previous version of {}: {error}", live.shown()),
        ),
    }
}

fn unlockable(database: &Path, errno: nix::errno::Errno) -> Error {
    Error::io(
        format!("cannot lock the lock file of {}", database.shown()),
        errno,
    )
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // If the board cannot be written, members read it together with the locks, and those go with the descriptor.
        let _ = self.resume();
        self.fence.unlock(Lock::Operation);
    }
}
