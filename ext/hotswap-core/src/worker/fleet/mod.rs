//! The fleet, as the worker sees it: every process that holds the fence of one database.
//!
//! The worker alone decides, and only by kernel locks. It posts its requests on the board in two steps, so that a
//! slow request in one process does not hold up requests in the others:
//!
//! 1. settle: gates stay open until the work that was running has ended in every member (the straggler lock).
//! 2. close: gates are closed, for at most `max_pause`, until no member is left in the database (the fence lock).
//!
//! After a failed attempt every member lets its requests through before the next attempt.

pub mod admission;
pub mod blockers;
pub mod pull_lock;
pub mod watchdog;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::fence::report::Collector;
use crate::fence::report::Report;
use crate::fence::{self, Board, Fence, Lock, Phase, Tried};
use crate::holders;
use crate::member::{astray, LOOKS_AGAIN_AFTER};
use crate::visible::Shown;
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::summary::Held;

use admission::require_locks;
use blockers::{advice, seconds, Blocker, Blockers, Telling};

/// How long the gates stay open between two attempts, at least.
const BREATH: Duration = Duration::from_millis(60);
/// How long a member takes, at most, to report what keeps it.
const TELLING: Duration = Duration::from_millis(600);
/// A member that is still in the way reports it twice a second. An older report is out of date.
const STALE: Duration = Duration::from_millis(1500);
/// How long a member takes, at most, to notice that its fence was replaced. A busy machine delays it.
const NOTICING: Duration = LOOKS_AGAIN_AFTER.saturating_add(Duration::from_millis(500));

/// The worker's hold on the fleet. Dropping it withdraws every request.
pub struct Fleet {
    fence: Fence,
    /// The path of the database as configured. A symbolic link in it may have led elsewhere when a member joined.
    configured: PathBuf,
    board: Board,
    /// The generation and the schema generation before an announcement that is still pending.
    before: Option<(u64, u64)>,
    reports: Collector,
    seen_blockers: Blockers,
    max_pause: Duration,
    timeout: Duration,
    /// When the gates were closed, if they are.
    closed_at: Option<Instant>,
    held: Held,
}

impl Fleet {
    /// Becomes the one worker that may command the fleet behind `fence`. Waits for another worker to finish.
    pub fn lead(fence: Fence, command: &Command) -> Result<Self> {
        let live = &*fence.database().to_owned();
        let deadline = Instant::now() + command.timeout();
        let mut told = false;
        loop {
            match fence.try_exclusive(Lock::Operation) {
                Tried::Got => break,
                Tried::Impossible(errno) => return Err(unlockable(live, errno)),
                Tried::Held => {}
            }
            let other = fence
                .holder(Lock::Operation)
                .map_or("another process".into(), |pid| holders::name(pid as u32));
            if Instant::now() > deadline {
                return Err(Error::Busy(format!(
                    "{other} is swapping this database already; copy again when it is done"
                )));
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
        let reports = Collector::open(live)?;
        if matches!(fence.board().phase, Phase::Moving | Phase::Moved) {
            fence.finish_what_a_dead_worker_began(command.timeout());
        }
        let board = Board {
            phase: Phase::Quiet,
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
            closed_at: None,
            held: Held::default(),
        };
        // Withdraws what a dead worker asked for.
        fleet.ask(Phase::Quiet)?;
        Ok(fleet)
    }

    /// Makes every member leave the database, or reports which ones are still in it. `before_closing` runs in each
    /// attempt, while the gates are still open.
    ///
    /// On success every member is closed, and stays closed until [`Fleet::resume`]. Returns when the gates began to
    /// close. Fails at `deadline`, or if `before_closing` fails.
    pub fn gather(
        &mut self,
        deadline: Instant,
        client: &Client,
        mut before_closing: impl FnMut() -> Result<()>,
    ) -> Result<Instant> {
        self.board.max_pause = self.max_pause;
        self.wait_for_the_astray(deadline, client)?;
        let mut telling = Telling::until(deadline);
        let mut blockers = Vec::new();
        loop {
            self.require_in_place()?;
            self.board.attempt += 1;
            self.reports.begin(self.board.attempt);
            self.ask(Phase::Settle)?;
            let asked = Instant::now();
            if !self.wait_until_settled(deadline, &mut telling, &blockers, client)? {
                let holder = self.fence.holder(Lock::Straggler);
                let running = self.hear(holder, client)?;
                // The deadline cut this attempt short. The attempt before it failed for a reason of its own.
                let cut_short = !blockers.is_empty() && asked.elapsed() < self.timeout / 2;
                return Err(self.give_up(if cut_short { &blockers } else { &running }));
            }
            before_closing()?;
            self.reports.begin(self.board.attempt);
            let closed_at = Instant::now();
            self.closed_at = Some(closed_at);
            self.ask(Phase::Close)?;
            if self.wait_until_closed(client)? {
                return Ok(closed_at);
            }
            let holder = self.fence.holder(Lock::Fence);
            self.resume()?;
            let reopened = Instant::now();
            blockers = self.hear(holder, client)?;
            let breath = BREATH.max(self.board.max_pause / 4);
            // A shortened attempt would blame the first process that it meets.
            if reopened + breath + self.board.max_pause.max(TELLING) >= deadline {
                return Err(self.give_up(&blockers));
            }
            telling.log(&blockers, client);
            telling.tell(&blockers, client);
            std::thread::sleep(breath.saturating_sub(reopened.elapsed()));
        }
    }

    /// Waits until every member that this user can see holds this fence, and not one that was here before. A member
    /// that the worker does not reach would go on using files that no path leads to any more.
    fn wait_for_the_astray(&self, deadline: Instant, client: &Client) -> Result<()> {
        let mut found = None;
        loop {
            let astray = astray(&[self.fence.database(), &self.configured], self.fence.identity());
            let names: Vec<_> = astray.iter().map(|one| holders::name(one.pid)).collect();
            let names = names.join(", ");
            if found.is_none() && astray.iter().any(|one| one.holds_another) {
                client.status(format_args!(
                    "The lock file of the database was replaced by another program. Waiting for {names} to notice..."
                ));
                found = Some(Instant::now());
            }
            // Members that this user cannot see get the same time.
            if astray.is_empty() && found.is_none_or(|found: Instant| found.elapsed() > NOTICING) {
                // By now a member holds the locks that it had on the former fence on this one, too.
                return require_locks(&self.fence);
            }
            if !astray.is_empty() && Instant::now() >= deadline {
                return Err(Error::Busy(format!(
                    "{} was replaced by another program, and {names} did not notice within {:.1} s. Nothing was swapped. \
                     Restart that process, and copy again",
                    fence::path_of(self.fence.database()).shown(),
                    self.timeout.as_secs_f64()
                )));
            }
            client.check_presence()?;
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Requires that this fence is the one at the path, because a process that joins now opens that one.
    fn require_in_place(&self) -> Result<()> {
        if self.fence.is_in_place() {
            return Ok(());
        }
        Err(Error::Busy(format!(
            "{} was removed or replaced by another program meanwhile. Nothing was swapped; copy again",
            fence::path_of(self.fence.database()).shown()
        )))
    }

    fn ask(&mut self, phase: Phase) -> Result<()> {
        self.board.phase = phase;
        self.fence.post(&self.board)
    }

    /// Waits, with the gates open, until the work that was running has ended. `blockers` are those of the attempt
    /// before.
    fn wait_until_settled(
        &mut self,
        deadline: Instant,
        telling: &mut Telling,
        blockers: &[Blocker],
        client: &Client,
    ) -> Result<bool> {
        let asked = Instant::now();
        let mut nap = Backoff::up_to(Duration::from_millis(2));
        while !self.try_exclusive(Lock::Straggler)? {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            // A socket holds only a few reports. Reading the older ones makes room for the newest.
            self.reports.reports();
            if telling.is_due() {
                let silent = self.fence.holder(Lock::Straggler);
                let now = self.blockers(silent.filter(|_| asked.elapsed() >= TELLING));
                telling.tell(if now.is_empty() { blockers } else { &now }, client);
            }
            client.check_presence()?;
            nap.take();
        }
        Ok(true)
    }

    /// Waits for as long as requests may wait.
    fn wait_until_closed(&mut self, client: &Client) -> Result<bool> {
        let deadline = Instant::now() + self.board.max_pause;
        let mut nap = Backoff::up_to(Duration::from_micros(200));
        while !self.try_exclusive(Lock::Fence)? {
            // A member that reports while all gates are closed cannot let go in this attempt, so requests need not
            // wait until it ends.
            if !self.reports.reports().is_empty() || Instant::now() >= deadline {
                return Ok(false);
            }
            client.check_presence()?;
            nap.take();
        }
        Ok(true)
    }

    fn try_exclusive(&self, lock: Lock) -> Result<bool> {
        match self.fence.try_exclusive(lock) {
            Tried::Got => Ok(true),
            Tried::Held => Ok(false),
            Tried::Impossible(errno) => Err(unlockable(self.fence.database(), errno)),
        }
    }

    /// Collects the processes that were in the way, with the gates open again. A member measures the pause by its own
    /// clock, and reports only when its time is over. So this waits for `holder`, the process that kept the lock.
    fn hear(&mut self, holder: Option<i32>, client: &Client) -> Result<Vec<Blocker>> {
        let since = Instant::now();
        let has_said =
            |(report, _): &(Report, Instant)| holder.is_none_or(|pid| pid <= 0 || pid as u32 == report.pid);
        while since.elapsed() < TELLING && !self.reports.reports().iter().any(has_said) {
            client.check_presence()?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(self.blockers(holder))
    }

    /// The processes that have recently reported being in the way. `holder` has a lock, so it is in the way in any
    /// case.
    fn blockers(&mut self, holder: Option<i32>) -> Vec<Blocker> {
        let reports = self.reports.reports().iter();
        let fresh: Vec<_> = reports.filter(|(_, heard)| heard.elapsed() < STALE).collect();
        let mut blockers: Vec<_> = fresh
            .iter()
            .map(|(report, heard)| self.seen_blockers.of_report(report, *heard))
            .collect();
        match holder {
            Some(pid) if fresh.iter().any(|(report, _)| report.pid as i32 == pid) => {}
            Some(pid @ 1..) => blockers.push(self.seen_blockers.of_silent(pid as u32)),
            Some(_) if blockers.is_empty() => blockers.push(Blockers::elsewhere()),
            _ => {}
        }
        blockers
    }

    fn give_up(&self, blockers: &[Blocker]) -> Error {
        let names: Vec<_> = blockers.iter().map(ToString::to_string).collect();
        Error::Busy(format!(
            "gave up after {}: the application was still busy. Nothing was swapped. In the way:\n- {}\n{}",
            seconds(self.timeout),
            match &*names {
                [] => "a process that did not say so".into(),
                names => names.join("\n- "),
            },
            advice(blockers, self.max_pause, self.timeout)
        ))
    }

    /// Announces that the file is about to move. This comes before the rename: it is harmless if a member looks for
    /// a change in vain, but not if it misses one.
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

    /// Takes the announcement back: nothing has moved after all. No member has seen it, because all are closed and
    /// read the board only when they come back.
    pub fn retract(&mut self) {
        if let Some(before) = self.before.take() {
            (self.board.generation, self.board.schema_generation) = before;
        }
    }

    /// The fence that holds the locks.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }

    /// Makes the members, all of which are closed, wait for up to `time`.
    pub fn ask_for(&mut self, time: Duration) -> Result<()> {
        self.board.max_pause = time;
        self.fence.post(&self.board)
    }

    /// Lets every member into a file that has moved, although a slow disk has not yet made that durable.
    pub fn let_in(&mut self) {
        self.before = None;
        // If the board cannot be written, it still says *moving*. The members then sync the folder themselves,
        // within their bound.
        let _ = self.ask(Phase::Moved);
        self.fence.unlock(Lock::Straggler);
        self.fence.unlock(Lock::Fence);
    }

    /// Lets every member in again.
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

    /// How long requests have been held up so far.
    pub fn held(&self) -> Held {
        self.held
    }
}

fn unlockable(database: &Path, errno: nix::errno::Errno) -> Error {
    Error::Io {
        what: format!("cannot lock the fence of {}", database.shown()),
        source: errno.into(),
    }
}

/// Sleeps that grow longer.
struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    fn up_to(longest: Duration) -> Self {
        let next = Duration::from_micros(50);
        Self { next, longest }
    }

    fn take(&mut self) {
        std::thread::sleep(self.next);
        self.next = (self.next * 2).min(self.longest);
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // If the board cannot be written, members read it together with the locks, and those go with the descriptor.
        let _ = self.resume();
        self.fence.unlock(Lock::Operation);
    }
}
