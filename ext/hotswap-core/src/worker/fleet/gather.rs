//! Gathers the fleet: makes every member leave the database at the same time.

use std::time::{Duration, Instant};

use super::admission::require_locks;
use super::blockers::{advice, Blocker, Blockers, Telling};
use super::{unlockable, Fleet};
use crate::error::{Busy, Error, Result};
use crate::fence::report::Report;
use crate::fence::{self, Lock, Phase, Tried};
use crate::holders;
use crate::member::{astray, LOOKS_AGAIN_AFTER};
use crate::worker::client::Client;

/// How long the gates stay open between two attempts, at least.
const BREATH: Duration = Duration::from_millis(60);
/// How long a member takes, at most, to report what keeps it.
const TELLING: Duration = Duration::from_millis(600);
/// A member that is still in the way reports it twice a second. An older report is out of date.
const STALE: Duration = Duration::from_millis(1500);
/// How long a member takes, at most, to notice that its fence was replaced. A busy machine delays it.
const NOTICING: Duration = LOOKS_AGAIN_AFTER.saturating_add(Duration::from_millis(500));

impl Fleet {
    /// Makes every member leave the database, or reports which ones are still in it. `before_closing` runs in each
    /// attempt, while the gates are still open. If the schema changes, members hold everything back.
    ///
    /// On success every member is closed, and stays closed until [`Fleet::resume`]. Returns when the gates began to
    /// close. Fails when the [patience](Fleet::patience) of this swap is over, or if `before_closing` fails.
    pub(crate) fn gather(
        &mut self,
        client: &Client,
        schema_changes: bool,
        before_closing: impl FnMut() -> Result<()>,
    ) -> Result<Instant> {
        let begun = Instant::now();
        let gathered = self.gather_until(begun + self.patience(), client, schema_changes, before_closing);
        self.count_wait(begun);
        gathered
    }

    fn gather_until(
        &mut self,
        deadline: Instant,
        client: &Client,
        schema_changes: bool,
        mut before_closing: impl FnMut() -> Result<()>,
    ) -> Result<Instant> {
        self.board.max_pause = self.max_pause;
        self.board.schema_changes = schema_changes;
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

    /// Waits, with the gates open, until the work that is running now has ended, and withdraws the request. Returns how
    /// long that took.
    pub(crate) fn drain(&mut self, deadline: Instant, client: &Client) -> Result<Duration> {
        self.wait_for_the_astray(deadline, client)?;
        self.require_in_place()?;
        self.board.attempt += 1;
        self.reports.begin(self.board.attempt);
        self.ask(Phase::Settle)?;
        let asked = Instant::now();
        if !self.wait_until_settled(deadline, &mut Telling::until(deadline), &[], client)? {
            let holder = self.fence.holder(Lock::Straggler);
            let running = self.hear(holder, client)?;
            return Err(self.give_up(&running));
        }
        let took = asked.elapsed();
        self.resume()?;
        Ok(took)
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
                return Err(Busy::Astray {
                    lock_file: fence::path_of(self.fence.database()),
                    members: names,
                    after: self.timeout,
                }
                .into());
            }
            client.check_presence()?;
            std::thread::sleep(Duration::from_millis(20));
        }
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
        Busy::Application {
            after: self.timeout,
            processes: blockers.iter().map(ToString::to_string).collect(),
            advice: advice(blockers, self.max_pause, self.timeout),
        }
        .into()
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
