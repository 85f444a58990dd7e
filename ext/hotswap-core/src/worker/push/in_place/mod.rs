//! The other way to push: the worker writes the new content into the live database, in one SQLite transaction.
//!
//! This is for a file that cannot be renamed over, or that a process outside the fleet has open. Such a process sees
//! all of the old content, then all of the new. A failure leaves the old content; if the disk fails in the commit
//! itself, it leaves either. The price is time: the lock is held, and the members wait, for as long as the writing
//! takes. So the worker estimates that time before any request waits.

mod adapt;
mod backup;
mod changed_pages;
mod estimate;
mod keep;
mod overwriting;
mod pages;
mod plan;
mod proof;
mod reason;

use std::cell::Cell;
use std::time::{Duration, Instant};

use rusqlite::ErrorCode;

use crate::error::{Busy, Context, Error, Failed, Refused, Result};
use crate::holders::{has_a_fence_open, name, Strangers};
use crate::sys::processes::Bound;
use crate::visible::Shown;
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::live::{require_same_file, unlockable};
use crate::worker::push::if_match::Unwritten;
use crate::worker::push::timeline::Timeline;
use crate::worker::sqlite::locks;
use crate::worker::sqlite::vfs::{self, Purpose};

pub(super) use adapt::fit;
use backup::Written;
use changed_pages::Difference;
use keep::Keep;
pub(super) use keep::Keeping;
pub(super) use overwriting::Overwriting;
use pages::number;
use plan::Plan;
use proof::Proof;
pub(super) use reason::Why;

/// How often the worker makes the members wait for another process's lock in vain.
const ATTEMPTS: u32 = 3;

impl Overwriting<'_> {
    /// Writes the new content, or changes nothing. Returns whether the content before stays as the previous version.
    pub(super) fn run(mut self, command: &Command) -> Result<bool> {
        let page_size = self.prepare()?;
        let mut plan = self.plan(page_size, command)?;
        let deadline = Instant::now() + command.timeout();
        let mut in_vain: fn(&Self) -> Error = Self::locked;
        let mut kept = false;
        for _ in 0..ATTEMPTS {
            command.client.info(format_args!(
                "writing in place, because the database {}: {}",
                self.why, plan.estimate
            ));
            self.wait_for_the_write_lock(deadline, command.client)?;
            let mut timeline = Timeline::begin(self.fleet.gather(
                Instant::now() + command.timeout(),
                command.client,
                || {
                    // Most writes show here, before any request waits.
                    self.unwritten.iter().try_for_each(Unwritten::require)?;
                    self.live.checkpoint();
                    Ok(())
                },
            )?);
            let closed_at = Instant::now();
            timeline.note("disconnected ActiveRecord");
            let before = self.data_version();
            let Plan {
                difference,
                bound,
                proof,
                mut keep,
                ..
            } = plan;
            let outcome = self.attempt(closed_at, difference, bound, page_size, &mut keep, command);
            if backup::nothing_came_of(&outcome) {
                self.fleet.retract();
            }
            if let Ok(Written::Pages(pages)) = outcome {
                timeline.note(format!("wrote {pages} pages into {}", self.live.path().shown()));
            }
            // In rollback mode SQLite counts the worker's own commit as well. No other process can sync a journal
            // that fast.
            let version = match self.live.is_wal() {
                true => before,
                false => self.data_version(),
            };
            // If another process has written since the commit, the comparison proves nothing.
            let held = proof.hold().is_ok() && version.is_some() && self.data_version() == version;
            // Comes first, whether the write worked or not, because requests wait.
            let resumed = self.fleet.resume();
            in_vain = match outcome? {
                Written::Pages(_) => {
                    timeline.note("swap lock released, requests resuming");
                    timeline.note("reconnected ActiveRecord");
                    self.tell(timeline, closed_at.elapsed(), command);
                    kept |= keep.finish(self.live.path(), self.why, self.keep, command);
                    self.checkpoint(command);
                    resumed.map_err(Error::past_the_commit)?;
                    if !held || self.is_right(proof, command) {
                        return Ok(kept);
                    }
                    self.all_pages = true;
                    // The worker itself has written since.
                    self.unwritten = None;
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
            std::thread::sleep(command.max_pause() / 4);
            // A new plan, because the difference was computed from a state that no longer exists.
            plan = self.plan(page_size, command)?;
        }
        Err(in_vain(&self))
    }

    /// How long the write would hold requests. Refuses what [`run`](Self::run) would refuse.
    pub(super) fn estimate(mut self, command: &Command) -> Result<Duration> {
        let page_size = self.prepare()?;
        Ok(self.plan(page_size, command)?.estimate.time)
    }

    /// Sets the connection up and returns the page size. Refuses a database that SQLite cannot write into.
    fn prepare(&mut self) -> Result<u32> {
        let path = self.live.path().to_owned();
        let connection = self.live.connection();
        // EXTRA makes the commit durable when it is reported: a removed journal whose folder was not synced would be
        // back after a power cut, and would roll the commit back. And no checkpoint may run while requests wait.
        let prepared = connection
            .execute_batch("PRAGMA synchronous = EXTRA; PRAGMA wal_autocheckpoint = 0")
            .and_then(|()| connection.query_row("PRAGMA page_size", [], |row| row.get(0)))
            .and_then(|size| connection.query_row("PRAGMA schema_version", [], |_| Ok(size)));
        let page_size: u32 = prepared.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Refused::LiveIsDamaged {
                database: path.clone(),
                why: self.why.to_string(),
                reason: error.to_string(),
                cure: self.why.cure(),
            }
            .into(),
            _ => Error::sqlite(format!("cannot read {}", path.shown()), error),
        })?;
        Ok(page_size)
    }

    /// Waits with the gates open, so that no request waits for a transaction that another process has left open.
    fn wait_for_the_write_lock(&mut self, deadline: Instant, client: &Client) -> Result<()> {
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
            client.check_presence()?;
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes one attempt. Every member is closed.
    fn attempt(
        &mut self,
        closed_at: Instant,
        difference: Option<Difference>,
        bound: Duration,
        page_size: u32,
        keep: &mut Keep,
        command: &Command,
    ) -> Result<Written> {
        let Self {
            fleet,
            live,
            staged,
            schema_changes,
            seen,
            unwritten,
            why,
            keep: keeping,
            ..
        } = self;
        fleet.ask_for(bound)?;
        let path = live.path().to_owned();
        let watchdog = Watchdog::of_pause(closed_at, bound, staged.path(), command)?;
        let expected = live.identity();
        let stamp = staged.stamp()?;
        live.connection()
            .busy_timeout(command.max_pause() / 4)
            .on_path("cannot set up a connection to", &path)?;
        // Checked once, with the lock and before the first page: the push may have waited for a migration.
        let (seen, unwritten, wal) = (Cell::new(*seen), Cell::new(unwritten.as_ref()), live.is_wal());
        let keep = Cell::new(Some(keep));
        let in_time = |part: f64| {
            command.client.check_presence()?;
            if closed_at.elapsed() < bound.mul_f64(0.9) {
                return Ok(());
            }
            Err(Busy::SlowWrite {
                why: why.to_string(),
                max_pause: bound,
                percent: part * 100.0,
                cure: why.cure(),
            }
            .into())
        };
        let confirm = || {
            unwritten.take().map_or(Ok(()), Unwritten::require)?;
            seen.take()
                .map_or(Ok(()), |seen| seen.confirm_locked(&path, wal))?;
            keep.take()
                .map_or(Ok(()), |keep| keep.take(*keeping, &path, || in_time(0.0)))
        };
        let go_on = |part: f64| {
            confirm()?;
            in_time(part)
        };
        let commit = || {
            command.client.check_presence()?;
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
                backup::write(&content, live.connection_mut(), page_size, go_on, commit)
            }
        }
    }

    /// A number that changes when another connection than the live one has committed.
    fn data_version(&self) -> Option<u32> {
        number(self.live.connection(), "PRAGMA data_version").ok()
    }

    /// Whether the held state is what was pushed. If that cannot be determined, SQLite's report of success counts.
    fn is_right(&self, proof: Proof, command: &Command) -> bool {
        let (wal, staged) = (self.live.is_wal(), self.staged);
        // In rollback mode a reader keeps writers out.
        let right = command.at_low_priority(move || match wal {
            true => proof.is_right(staged),
            false => proof.header_is_right(staged),
        });
        match &right {
            Ok(true) => command
                .client
                .log("debug", "the live database equals the pushed file"),
            Ok(false) => command.client.log(
                "error",
                "the live database differs from the pushed file; writing every page",
            ),
            Err(error) => command.client.log("warn", error),
        }
        right.unwrap_or(true)
    }

    fn outdated(&self) -> Error {
        Busy::Outdated {
            database: self.live.path().to_owned(),
        }
        .into()
    }

    fn wrong(&self) -> Error {
        Failed::NotAsPushed {
            database: self.live.path().to_owned(),
        }
        .into()
    }

    fn locked(&self) -> Error {
        let path = self.live.path();
        let holders = match locks::writer(path, self.live.is_wal()) {
            Some(pid) if has_a_fence_open(pid) => format!(
                "{}, which belongs to this application and has it attached to another database, or opened it through a library \
                 that hotswap does not know",
                name(pid)
            ),
            Some(pid) => format!("{}, which hotswap does not manage", name(pid)),
            None => format!(
                "{}, which hotswap does not manage",
                Strangers::outside_the_fleet(path, Bound::Patient).phrase()
            ),
        };
        Busy::WritersOut {
            database: path.to_owned(),
            holders,
        }
        .into()
    }

    /// Reports the success. Called when the gates are open again.
    fn tell(&mut self, timeline: Timeline, closed_for: Duration, command: &Command) {
        command
            .client
            .status(format_args!("In place, because the database {}.", self.why));
        timeline.write(closed_for, command.client);
        self.checkpoint(command);
    }

    /// Otherwise the next request that writes would checkpoint.
    fn checkpoint(&mut self, command: &Command) {
        let live = &mut self.live;
        command.at_low_priority(move || live.checkpoint());
    }
}
