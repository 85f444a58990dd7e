//! The fleet, as the worker sees it: every process that holds the fence of one database.
//!
//! The worker alone decides, and only by kernel locks. It asks through the board, in two steps, so that
//! nobody's requests are held back while somebody else's slow one comes to its end:
//!
//! 1. settle: gates open, until what was running has ended everywhere (the straggler lock),
//! 2. close: for at most `max_pause`, until nobody is left (the fence lock).
//!
//! An attempt that fails lets everybody through before the next.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::job::Job;
use super::preflight::require_locks;
use super::strangers;
use super::summary::Held;
use crate::error::{Error, Result};
use crate::fence::{self, Board, Fence, Lock, Phase, Tried};
use crate::member::{astray, Collector, LOOKS_AGAIN_AFTER};

/// How long the gates stay open between two attempts, at least.
const BREATH: Duration = Duration::from_millis(60);
/// How long a member takes, at most, to tell what keeps it from settling.
const TELLING: Duration = Duration::from_millis(600);
/// How long a member takes, at most, to notice that its fence was replaced. On a busy machine it is late.
const NOTICING: Duration = LOOKS_AGAIN_AFTER.saturating_add(Duration::from_millis(500));

/// See the module. Dropping it asks nothing of anybody any more.
pub struct Fleet {
    fence: Fence,
    /// The database as it is configured: a symbolic link in there may have led elsewhere when a member joined.
    configured: PathBuf,
    board: Board,
    /// The generation, and that of the schema, as they were before what was announced and is not over.
    before: Option<(u64, u64)>,
    reports: Collector,
    max_pause: Duration,
    timeout: Duration,
    /// Since when the gates are closed.
    closed_at: Option<Instant>,
    held: Held,
}

impl Fleet {
    /// Becomes the one worker that may ask something of the fleet behind `fence`. Waits for another one to finish.
    pub fn command(fence: Fence, configured: &Path, job: &Job, caller: &mut Caller) -> Result<Self> {
        let live = &*fence.database().to_owned();
        let deadline = Instant::now() + job.timeout();
        let mut told = false;
        loop {
            match fence.try_exclusive(Lock::Operation) {
                Tried::Got => break,
                Tried::Impossible(errno) => return Err(unlockable(live, errno)),
                Tried::Held => {}
            }
            let other = fence
                .holder(Lock::Operation)
                .map_or("another process".into(), |pid| strangers::name(pid as u32));
            if Instant::now() > deadline {
                return Err(Error::Busy(format!(
                    "{other} is swapping this database already; copy again when it is done"
                )));
            }
            if !told {
                caller.status(format_args!(
                    "Waiting for {other}, which is swapping this database..."
                ));
                told = true;
            }
            caller.check_presence()?;
            std::thread::sleep(Duration::from_millis(20));
        }
        let reports = Collector::open(live)?;
        if matches!(fence.board().phase, Phase::Moving | Phase::Moved) {
            fence.finish_what_a_dead_worker_began(job.timeout());
        }
        let board = Board {
            phase: Phase::Quiet,
            max_pause: job.max_pause(),
            report: reports.id(),
            ..fence.board()
        };
        let mut fleet = Self {
            fence,
            configured: configured.to_owned(),
            board,
            before: None,
            reports,
            max_pause: job.max_pause(),
            timeout: job.timeout(),
            closed_at: None,
            held: Held::default(),
        };
        // Whatever a dead worker asked for is not what this one wants.
        fleet.ask(Phase::Quiet)?;
        Ok(fleet)
    }

    /// Gets everybody out of the database, or says who is still in it. `before_closing` runs in each attempt
    /// while the gates are open still.
    ///
    /// When this succeeds every member is closed, and stays so until [`Fleet::resume`]. What it returns is when the
    /// gates began to close.
    pub fn gather(&mut self, caller: &mut Caller, mut before_closing: impl FnMut()) -> Result<Instant> {
        let deadline = Instant::now() + self.timeout;
        self.board.max_pause = self.max_pause;
        self.wait_for_the_astray(deadline, caller)?;
        loop {
            self.require_in_place()?;
            self.reports.forget();
            self.board.attempt += 1;
            self.ask(Phase::Settle)?;
            if !self.wait_for(Lock::Straggler, deadline, caller)? {
                let reasons = self.reasons(Lock::Straggler);
                return Err(self.give_up(&reasons));
            }
            before_closing();
            self.reports.forget();
            let closed_at = Instant::now();
            self.closed_at = Some(closed_at);
            self.ask(Phase::Close)?;
            if self.wait_for(Lock::Fence, Instant::now() + self.board.max_pause, caller)? {
                return Ok(closed_at);
            }
            let reasons = self.reasons(Lock::Fence);
            self.resume()?;
            let breath = BREATH.max(self.board.max_pause / 4);
            // An attempt that is cut short would blame whoever it meets first.
            if Instant::now() + breath + self.board.max_pause.max(TELLING) >= deadline {
                return Err(self.give_up(&reasons));
            }
            caller.info(format_args!(
                "no quiet moment within the pause, trying again: {}",
                reasons.join("; ")
            ));
            std::thread::sleep(breath);
        }
    }

    /// Waits until every member that can be seen holds this fence, and not one that lay here before. A member that
    /// is not reached would go on with files to which no path leads any more.
    fn wait_for_the_astray(&self, deadline: Instant, caller: &mut Caller) -> Result<()> {
        let mut found = None;
        loop {
            let astray = astray(&[self.fence.database(), &self.configured], self.fence.identity());
            let names: Vec<_> = astray.iter().map(|one| strangers::name(one.pid)).collect();
            let names = names.join(", ");
            if found.is_none() && astray.iter().any(|one| one.holds_another) {
                caller.status(format_args!(
                    "The lock file of the database was replaced by another program. Waiting for {names} to notice..."
                ));
                found = Some(Instant::now());
            }
            // Members that this user cannot see get the time that they take.
            if astray.is_empty() && found.is_none_or(|found: Instant| found.elapsed() > NOTICING) {
                // What a member holds of the former fence it has taken on this one as well.
                return require_locks(&self.fence);
            }
            if !astray.is_empty() && Instant::now() >= deadline {
                return Err(Error::Busy(format!(
                    "{} was replaced by another program, and {names} did not notice within {:.1} s. Nothing was swapped. \
                     Restart that process, and copy again",
                    fence::path_of(self.fence.database()).display(),
                    self.timeout.as_secs_f64()
                )));
            }
            caller.check_presence()?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A process that joins now takes the fence that lies at the path: that has to be this one.
    fn require_in_place(&self) -> Result<()> {
        if self.fence.is_in_place() {
            return Ok(());
        }
        Err(Error::Busy(format!(
            "{} was removed or replaced by another program meanwhile. Nothing was swapped; copy again",
            fence::path_of(self.fence.database()).display()
        )))
    }

    fn ask(&mut self, phase: Phase) -> Result<()> {
        self.board.phase = phase;
        self.fence.post(&self.board)
    }

    fn wait_for(&mut self, lock: Lock, deadline: Instant, caller: &Caller) -> Result<bool> {
        let mut nap = Duration::from_micros(50);
        let longest = if lock == Lock::Fence {
            Duration::from_micros(200)
        } else {
            Duration::from_millis(2)
        };
        loop {
            match self.fence.try_exclusive(lock) {
                Tried::Got => return Ok(true),
                Tried::Impossible(errno) => return Err(unlockable(self.fence.database(), errno)),
                Tried::Held => {}
            }
            // Who reports while all are closed cannot let go in this attempt; nobody need wait for its end.
            let hopeless = lock == Lock::Fence && !self.reports.reports().is_empty();
            if hopeless || Instant::now() >= deadline {
                return Ok(false);
            }
            caller.check_presence()?;
            std::thread::sleep(nap);
            nap = (nap * 2).min(longest);
        }
    }

    /// What was in the way, as far as anybody said.
    fn reasons(&mut self, lock: Lock) -> Vec<String> {
        let mut reasons: Vec<String> = self.reports.reports().iter().map(ToString::to_string).collect();
        if let Some(pid) = self.fence.holder(lock) {
            let known = self
                .reports
                .reports()
                .iter()
                .any(|report| report.pid == pid as u32);
            if !known && pid > 0 {
                reasons.push(format!(
                    "{} holds the database and does not answer",
                    strangers::name(pid as u32)
                ));
            } else if pid == 0 {
                reasons.push("a process in another container holds the database".into());
            }
        }
        reasons
    }

    fn give_up(&self, reasons: &[String]) -> Error {
        Error::Busy(format!(
            "the application did not come to rest within {:.1} s, so nothing was swapped. What was in the way:\n{}\n\
             Copy again when it is done, or raise config.hotswap.timeout or config.hotswap.max_pause",
            self.timeout.as_secs_f64(),
            if reasons.is_empty() { "- nobody said".into() } else { format!("- {}", reasons.join("\n- ")) }
        ))
    }

    /// Announces that the file is about to move. Before the rename: a member that looks for a change in vain
    /// is harmless, one that misses it is not.
    pub fn announce(&mut self, schema_changes: bool) -> Result<()> {
        self.require_in_place()?;
        self.before = Some((self.board.generation, self.board.schema_generation));
        self.board.generation += 1;
        if schema_changes {
            self.board.schema_generation = self.board.generation;
        }
        let asked = self.ask(Phase::Moving);
        if asked.is_err() {
            self.retract();
        }
        asked
    }

    /// Nothing has moved after all. Nobody has seen what was announced: every member is closed, and looks when it is
    /// let in again.
    pub fn retract(&mut self) {
        if let Some(before) = self.before.take() {
            (self.board.generation, self.board.schema_generation) = before;
        }
    }

    /// What the locks are on.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Has the members, all of whom are closed, bear with this worker for so long.
    pub fn ask_for(&mut self, time: Duration) -> Result<()> {
        self.board.max_pause = time;
        self.fence.post(&self.board)
    }

    /// Lets everybody in to a file that has moved, although a slow disk has not made that durable.
    pub fn let_in(&mut self) {
        self.before = None;
        // On a board that cannot be written *moving* stays, and members ask the disk themselves, within their bound.
        let _ = self.ask(Phase::Moved);
        self.fence.unlock(Lock::Straggler);
        self.fence.unlock(Lock::Fence);
    }

    /// Lets everybody in again.
    pub fn resume(&mut self) -> Result<()> {
        self.before = None;
        let asked = self.ask(Phase::Quiet);
        self.fence.unlock(Lock::Straggler);
        self.fence.unlock(Lock::Fence);
        if let Some(closed_at) = self.closed_at.take() {
            self.held.add(closed_at.elapsed());
        }
        asked
    }

    /// How long requests have been held back so far.
    pub fn held(&self) -> Held {
        self.held
    }
}

fn unlockable(database: &Path, errno: nix::errno::Errno) -> Error {
    Error::Io {
        what: format!("cannot lock the fence of {}", database.display()),
        source: errno.into(),
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A board that cannot be written is read together with the locks, and those go with the descriptor.
        let _ = self.resume();
        self.fence.unlock(Lock::Operation);
    }
}
