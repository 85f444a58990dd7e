//! The other way of a push: the new content is written into the live database, in one transaction of SQLite.
//!
//! For a file that cannot be renamed over, or that somebody outside of the fleet has open: they see all of the old
//! content, then all of the new one, and a failure leaves the old one; or, where the disk fails in the commit itself,
//! either. The price is time. The lock is held, and the members wait, for as long as it takes to write; so that is
//! estimated before anybody waits.

mod difference;
mod fit;
mod pages;
mod proof;
mod rehearsal;
mod whole;
mod why;

use std::cell::Cell;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use super::caller::Caller;
use super::fleet::Fleet;
use super::gently::gently;
use super::job::Job;
use super::live::{require_same_file, unlockable, Live};
use super::locks;
use super::processes::Bound;
use super::seen::Seen;
use super::space;
use super::staged::Staged;
use super::strangers::{has_a_fence_open, name, Strangers};
use super::timeline::Timeline;
use super::vfs::{self, Purpose};
use super::watchdog::Watchdog;
use crate::error::{Context, Error, Result};
use crate::protocol::InPlace;
use crate::visible::Shown;
use difference::Difference;
pub use fit::fit;
use pages::number;
use proof::Proof;
use rehearsal::Estimate;
use whole::Written;
pub use why::Why;

/// How often the members are asked to wait for a stranger's lock in vain.
const ATTEMPTS: u32 = 3;

/// What is written into what. The operation lock is ours since before the live database was looked at.
pub struct Overwriting<'a> {
    /// Who uses the live database.
    pub fleet: &'a mut Fleet,
    /// The live database, open like any other connection.
    pub live: Live,
    /// Its new content: checked, and [fitting](fit).
    pub staged: &'a Staged,
    /// Whether the members have to forget the schema.
    pub schema_changes: bool,
    /// What the staged file was compared with.
    pub seen: Option<&'a Seen>,
    /// Why there is no other way.
    pub why: &'a Why,
    /// Whether to write all of them, also those that seem to be right.
    pub all_pages: bool,
}

/// One attempt.
struct Plan {
    /// All of it where there is none.
    difference: Option<Difference>,
    estimate: Estimate,
    /// How long the members will be asked to wait.
    bound: Duration,
    proof: Proof,
}

impl Overwriting<'_> {
    /// Does it, or changes nothing.
    pub fn run(mut self, choice: InPlace, job: &Job, caller: &mut Caller) -> Result<()> {
        let page_size = self.prepare()?;
        let mut plan = self.plan(page_size, choice, job)?;
        let deadline = Instant::now() + job.timeout();
        let mut in_vain: fn(&Self) -> Error = Self::locked;
        for _ in 0..ATTEMPTS {
            caller.info(format_args!(
                "writing in place, because the database {}: {}",
                self.why, plan.estimate
            ));
            self.wait_for_the_write_lock(deadline, caller)?;
            let mut timeline =
                Timeline::begin(self.fleet.gather(Instant::now() + job.timeout(), caller, || {
                    self.live.checkpoint();
                    Ok(())
                })?);
            let closed_at = Instant::now();
            timeline.note("disconnected ActiveRecord");
            let before = self.data_version();
            let Plan {
                difference,
                bound,
                proof,
                ..
            } = plan;
            let outcome = self.attempt(closed_at, difference, bound, page_size, job, caller);
            if whole::nothing_came_of(&outcome) {
                self.fleet.retract();
            }
            if let Ok(Written::Pages(pages)) = outcome {
                timeline.note(format!("wrote {pages} pages into {}", self.live.path().shown()));
            }
            // Where there is no log SQLite counts the worker's own commit as well. And no other one syncs a journal that fast.
            let version = match self.live.is_wal() {
                true => before,
                false => self.data_version(),
            };
            // What another process has written since the commit was not pushed, and proves nothing.
            let held = proof.hold().is_ok() && version.is_some() && self.data_version() == version;
            // Before anything else: whether it worked or not, people wait.
            let resumed = self.fleet.resume();
            in_vain = match outcome? {
                Written::Pages(_) => {
                    timeline.note("swap lock released, requests resuming");
                    timeline.note("reconnected ActiveRecord");
                    self.tell(timeline, closed_at.elapsed(), job, caller);
                    resumed.map_err(Error::past_the_commit)?;
                    if !held || self.is_right(proof, job, caller) {
                        return Ok(());
                    }
                    self.all_pages = true;
                    Self::wrong
                }
                vain => {
                    resumed?;
                    match vain {
                        Written::Outdated => Self::outdated,
                        _ => Self::locked,
                    }
                }
            };
            std::thread::sleep(job.max_pause() / 4);
            // Anew: what was found to differ is of a state that has gone.
            plan = self.plan(page_size, choice, job)?;
        }
        Err(in_vain(&self))
    }

    /// What will be written, unless it takes too long.
    fn plan(&mut self, page_size: u32, choice: InPlace, job: &Job) -> Result<Plan> {
        let difference = match self.all_pages {
            true => None,
            false => self.difference(page_size, job)?,
        };
        let bytes = difference.as_ref().map_or(self.staged.len(), Difference::bytes);
        self.require_space(bytes)?;
        // At full priority, as it will be written: a machine that is busy would seem slower than it is.
        let estimate = Estimate::of(bytes, self.live.path(), page_size, self.live.is_wal())?;
        // What is wrong has to go, however long that takes.
        let in_any_case = choice == InPlace::Always || self.all_pages;
        if !in_any_case && estimate.time > job.max_pause() {
            return Err(self.takes_too_long(&estimate, job));
        }
        let bound = match in_any_case {
            true => job.max_pause().max(estimate.time * 4),
            false => job.max_pause(),
        };
        Ok(Plan {
            difference,
            estimate,
            bound,
            proof: Proof::prepare(self.live.path(), self.staged)?,
        })
    }

    /// Only what differs, where that can be written.
    fn difference(&mut self, page_size: u32, job: &Job) -> Result<Option<Difference>> {
        let (live, staged) = (&mut self.live, self.staged);
        gently(job, move || Difference::find(live, staged, page_size))
    }

    /// Sets the connection up, and says how large a page is. What SQLite cannot write into is refused here.
    fn prepare(&mut self) -> Result<u32> {
        let path = self.live.path().to_owned();
        let connection = self.live.connection();
        // Durable when it is told (a journal that is removed, and not synced, is back after a power cut, and takes the
        // commit back), and without a checkpoint while people wait.
        let prepared = connection
            .execute_batch("PRAGMA synchronous = EXTRA; PRAGMA wal_autocheckpoint = 0")
            .and_then(|()| connection.query_row("PRAGMA page_size", [], |row| row.get(0)))
            .and_then(|size| connection.query_row("PRAGMA schema_version", [], |_| Ok(size)));
        let page_size: u32 = prepared.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Error::Refused(format!(
                "{} {}, and cannot be written into, for it is damaged: {error}. To have the file replaced, {}",
                path.shown(),
                self.why,
                self.why.cure()
            )),
            _ => Error::Sqlite {
                what: format!("cannot read {}", path.shown()),
                source: error,
            },
        })?;
        Ok(page_size)
    }

    /// A log takes the new pages, a journal the old ones; the file may have to grow as well.
    fn require_space(&self, bytes: u64) -> Result<()> {
        let path = self.live.path();
        let folder =
            File::open(path.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", path)?;
        let live = std::fs::metadata(path).on_path("cannot stat", path)?.len();
        let kept = if self.live.is_wal() { bytes } else { live };
        let growth = self.staged.len().saturating_sub(live);
        space::require(&folder, kept + growth, "writing into the database")
    }

    /// Gates are open: nobody waits for somebody who has forgotten a transaction.
    fn wait_for_the_write_lock(&mut self, deadline: Instant, caller: &Caller) -> Result<()> {
        let path = self.live.path().to_owned();
        loop {
            let connection = self.live.connection();
            connection
                .busy_timeout(Duration::ZERO)
                .on_path("cannot set up a connection to", &path)?;
            match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
                Ok(()) => return Ok(()),
                Err(error) if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => {
                    return Err(unlockable(error, &path))
                }
                Err(_) if Instant::now() > deadline => return Err(self.locked()),
                Err(_) => {}
            }
            caller.check_presence()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Every member is closed.
    fn attempt(
        &mut self,
        closed_at: Instant,
        difference: Option<Difference>,
        bound: Duration,
        page_size: u32,
        job: &Job,
        caller: &Caller,
    ) -> Result<Written> {
        let Self {
            fleet,
            live,
            staged,
            schema_changes,
            seen,
            why,
            ..
        } = self;
        fleet.ask_for(bound)?;
        let path = live.path().to_owned();
        let watchdog = Watchdog::of_pause(closed_at, bound, &path, staged.path(), caller)?;
        let expected = live.identity();
        let stamp = staged.stamp()?;
        live.connection()
            .busy_timeout(job.max_pause() / 4)
            .on_path("cannot set up a connection to", &path)?;
        // Once, with the lock and before the first page: a migration may have been what the push waited for.
        let (seen, wal) = (Cell::new(*seen), live.is_wal());
        let confirm = || seen.take().map_or(Ok(()), |seen| seen.confirm_locked(&path, wal));
        let go_on = |part: f64| {
            caller.check_presence()?;
            confirm()?;
            if closed_at.elapsed() < bound.mul_f64(0.9) {
                return Ok(());
            }
            Err(Error::Busy(format!(
                "the database {why}, and writing the new content into it took longer than the {:.1} s for which \
                 requests may wait; it was rolled back at {:.0} %. Pass --in-place=always to have them wait, copy again \
                 when the machine is less busy, or {}",
                bound.as_secs_f64(),
                part * 100.0,
                why.cure()
            )))
        };
        let commit = || {
            caller.check_presence()?;
            confirm()?;
            require_same_file(&path, expected)?;
            staged.require_unchanged(stamp)?;
            fleet.announce(*schema_changes)?;
            watchdog.commit();
            Ok(())
        };
        match difference {
            Some(difference) => difference.write(live, staged, go_on, commit),
            None => {
                let content = vfs::open(staged.path(), Purpose::Reading)?;
                whole::write(&content, live.connection_mut(), page_size, go_on, commit)
            }
        }
    }

    /// Changes when another connection than the live one has committed.
    fn data_version(&self) -> Option<u32> {
        number(self.live.connection(), "PRAGMA data_version").ok()
    }

    /// Whether what is held is what was pushed. Where that cannot be told, SQLite's word counts.
    fn is_right(&self, proof: Proof, job: &Job, caller: &mut Caller) -> bool {
        let (wal, staged) = (self.live.is_wal(), self.staged);
        // A reader keeps writers out where there is no log.
        let right = gently(job, move || match wal {
            true => proof.is_right(staged),
            false => proof.header_is_right(staged),
        });
        match &right {
            Ok(true) => caller.log("debug", "what was written is what was pushed"),
            Ok(false) => caller.log(
                "error",
                "what was written is not what was pushed; every page is written now",
            ),
            Err(error) => caller.log("warn", error),
        }
        right.unwrap_or(true)
    }

    fn takes_too_long(&self, estimate: &Estimate, job: &Job) -> Error {
        Error::Refused(format!(
            "the database {}, so the new content would be written into it: {estimate}. Requests would wait for longer \
             than the {} s of config.hotswap.max_pause. Pass --in-place=always to have them wait, or raise max_pause. \
             To have the file replaced, which takes no time, {}",
            self.why,
            job.max_pause().as_secs_f64(),
            self.why.cure()
        ))
    }

    fn outdated(&self) -> Error {
        Error::Busy(format!(
            "{} was changed meanwhile in a way that leaves it open which pages differ from the new content; copy again",
            self.live.path().shown()
        ))
    }

    fn wrong(&self) -> Error {
        Error::Broken(format!(
            "{} is not what was pushed, although SQLite reports that all of it was written. Stop the application and \
             put a backup in place",
            self.live.path().shown()
        ))
    }

    fn locked(&self) -> Error {
        let path = self.live.path();
        let who = match locks::writer(path, self.live.is_wal()) {
            Some(pid) if has_a_fence_open(pid) => format!(
                "{}, which is of this application, on a connection that hotswap does not close: that of another database which has \
                 this one attached, or one of another library",
                name(pid)
            ),
            Some(pid) => format!("{}, which hotswap does not manage", name(pid)),
            None => format!(
                "{}, which hotswap does not manage",
                Strangers::outside_the_fleet(path, Bound::Patient).phrase()
            ),
        };
        Error::Busy(format!(
            "{} is locked, and open in {who}; end its transaction there and copy again",
            path.shown()
        ))
    }

    /// Told after the gates are open.
    fn tell(&mut self, timeline: Timeline, closed_for: Duration, job: &Job, caller: &mut Caller) {
        caller.status(format_args!("In place, because the database {}.", self.why));
        timeline.write(caller);
        caller.log(
            "debug",
            format_args!(
                "the database was closed to everybody for {:.2} ms",
                closed_for.as_secs_f64() * 1e3
            ),
        );
        // Otherwise the next request that writes would do it.
        let live = &mut self.live;
        gently(job, move || live.checkpoint());
    }
}
