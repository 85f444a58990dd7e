//! The other way to push: the worker writes the new content into the live database, in one SQLite transaction.
//!
//! This is for a file that cannot be renamed over, or that a process outside the fleet has open. Such a process sees
//! all of the old content, then all of the new. A failure leaves the old content; if the disk fails in the commit
//! itself, it leaves either. The price is time: the lock is held, and the members wait, for as long as the writing
//! takes. So the worker estimates that time before any request waits.

mod adapt;
mod backup;
mod changed_pages;
mod content;
mod estimate;
mod log_room;
mod pages;
mod parameters;
mod pause;
mod plan;
mod previous_version;
mod proof;
mod reason;
mod rows;
#[cfg(test)]
mod tests;
mod transaction;
mod watch;

use std::cell::Cell;
use std::fs::File;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use crate::error::{Busy, Context, Error, Failed, Refused, Result};
use crate::holders::{has_a_fence_open, name, Strangers};
use crate::sidecar::sidecars;
use crate::sys::processes::Bound;
use crate::visible::Shown;
use crate::worker::check::seen::Seen;
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::fleet::participants::members;
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::live::{require_same_file, unlockable};
use crate::worker::push::if_match::Unwritten;
use crate::worker::push::obstacle::Obstacle;
use crate::worker::push::timeline::Timeline;
use crate::worker::sqlite::locks;
use crate::worker::tables::Counts;

pub(super) use adapt::fit;
use backup::Written;
use content::Content;
use pages::number;
pub(super) use parameters::{Done, InPlaceWrite, Source, Tables};
use pause::Pause;
use plan::Plan;
use previous_version::Keep;
pub(super) use previous_version::Keeping;
pub(super) use reason::Why;

/// How often the worker makes the members wait for another process's lock in vain.
const ATTEMPTS: u32 = 3;

/// How an attempt has ended.
enum Attempt {
    Done(Done),
    /// The plan is worth nothing any more.
    InVain(Vain, Box<Plan>),
}

/// Why an attempt came to nothing.
#[derive(Clone, Copy, Debug)]
enum Vain {
    /// What had to be written was not known any more.
    Outdated,
    /// Another process held a lock.
    Locked,
    /// The database has other pages than those that were written.
    Wrong,
}

impl InPlaceWrite<'_> {
    /// Writes the new content, or changes nothing.
    pub(super) fn run(mut self, command: &Command) -> Result<Done> {
        let page_size = self.prepare()?;
        let mut plan = self.plan(page_size, command)?;
        let mut attempts = ATTEMPTS;
        let mut kept = false;
        loop {
            let Some(planned) = plan else {
                return Ok(self.done(kept, Some(Vec::new()), page_size));
            };
            attempts = attempts.saturating_sub(1);
            let (in_vain, last) = match self.attempt(planned, page_size, &mut kept, command)? {
                Attempt::Done(done) => return Ok(done),
                Attempt::InVain(in_vain, last) => (in_vain, last),
            };
            // A new plan, because the difference was computed from a state that no longer exists.
            plan = match attempts {
                0 => match self.last_resort(*last, command) {
                    Some(plan) => Some(plan),
                    None => return Err(self.why_in_vain(in_vain)),
                },
                _ => {
                    drop(last);
                    std::thread::sleep(command.max_pause() / 4);
                    self.plan(page_size, command)?
                }
            };
        }
    }

    fn done(&self, kept: bool, tables: Option<Vec<Counts>>, page_size: u32) -> Done {
        // An error here would say that nothing was written.
        let pages = number(self.live.connection(), "PRAGMA page_count").unwrap_or_default();
        Done {
            kept,
            tables,
            bytes: u64::from(pages) * u64::from(page_size),
        }
    }

    /// Makes one attempt: waits for the write lock, closes the gates, and writes.
    fn attempt(
        &mut self,
        mut plan: Plan,
        page_size: u32,
        kept: &mut bool,
        command: &Command,
    ) -> Result<Attempt> {
        command.client.info(format_args!(
            "writing in place, because the database {}: {}",
            self.why, plan.estimate
        ));
        self.wait_for_the_write_lock(command.client)?;
        if self.live.is_wal() {
            // If this fails, the write only takes longer.
            let _ = log_room::make(&self.live, page_size, plan.estimate.size.bytes);
        }
        let another = match (self.seen, self.live.is_wal()) {
            (Some(_), true) => Some(Seen::another_connection(self.live.path())?),
            _ => None,
        };
        let gathered = self.fleet.gather(command.client, self.schema_changes, || {
            // Most writes show here, before any request waits.
            self.unwritten.iter().try_for_each(Unwritten::require)?;
            plan.require_current(&self.live)?;
            plan.keep.take_for_now(|| self.live.checkpoint());
            Ok(())
        });
        let closed_at = match gathered {
            Err(Error::Busy(Busy::Written)) if self.unwritten.is_none() => {
                self.fleet.resume()?;
                return Ok(self.in_vain(Vain::Outdated, plan));
            }
            gathered => gathered?,
        };
        let mut timeline = Timeline::begin(closed_at);
        timeline.note("disconnected ActiveRecord");
        if plan.in_the_pause {
            let again = self.plan_again(&plan, closed_at, command);
            if !matches!(again, Ok(Some(_))) {
                self.fleet.resume()?;
            }
            plan = match again? {
                Some(plan) => plan,
                None => {
                    return Ok(Attempt::Done(self.done(*kept, Some(Vec::new()), page_size)));
                }
            };
        }
        let before = self.data_version();
        let outcome = self.write(closed_at, &mut plan, page_size, another.as_ref(), command);
        if backup::nothing_came_of(&outcome) {
            self.fleet.retract();
        }
        let live = self.live.path().shown();
        match outcome {
            Ok(Written::Pages(pages)) => timeline.note(format!("wrote {pages} pages into {live}")),
            Ok(Written::Rows(rows)) => timeline.note(format!("wrote {rows} rows into {live}")),
            _ => {}
        }
        // In rollback mode SQLite counts the worker's own commit as well. No other process can sync a journal
        // that fast.
        let version = match self.live.is_wal() {
            true => before,
            false => self.data_version(),
        };
        // If another process has written since the commit, the comparison proves nothing.
        let held = plan.is_provable(self.live.is_wal())
            && plan.proof.hold().is_ok()
            && version.is_some()
            && self.data_version() == version;
        if matches!(outcome, Ok(Written::Pages(_) | Written::Rows(_))) {
            self.live.hold_checkpoints();
        }
        // Comes first, whether the write worked or not, because requests wait.
        let resumed = self.fleet.resume();
        match outcome? {
            Written::Pages(_) | Written::Rows(_) => {
                timeline.note("swap lock released, requests resuming");
                timeline.note("reconnected ActiveRecord");
                let closed_for = closed_at.elapsed();
                self.make_durable(&plan, command)?;
                let tables = plan.content.rows().map(|rows| rows.counts());
                self.tell(timeline, closed_for, command);
                *kept |= self.finish(&mut plan, command);
                self.checkpoint(command);
                resumed.map_err(Error::past_the_commit)?;
                if !held || self.is_right(&mut plan, command) {
                    return Ok(Attempt::Done(self.done(*kept, tables, page_size)));
                }
                if tables.is_some() {
                    return Err(self.wrong());
                }
                self.all_pages = true;
                // The worker itself has written since.
                self.unwritten = None;
                Ok(self.in_vain(Vain::Wrong, plan))
            }
            Written::Outdated => {
                resumed?;
                Ok(self.in_vain(Vain::Outdated, plan))
            }
            Written::Locked => {
                resumed?;
                Ok(self.in_vain(Vain::Locked, plan))
            }
        }
    }

    fn in_vain(&self, why: Vain, mut plan: Plan) -> Attempt {
        if let Some(rows) = plan.content.rows() {
            rows.detach(&self.live);
        }
        Attempt::InVain(why, Box::new(plan))
    }

    fn why_in_vain(&self, vain: Vain) -> Error {
        match vain {
            Vain::Outdated => self.outdated(),
            Vain::Locked => self.locked(),
            Vain::Wrong => self.wrong(),
        }
    }

    /// How long the write would hold requests, and what it would do to each table. Refuses what [`run`](Self::run)
    /// would refuse.
    pub(super) fn estimate(mut self, command: &Command) -> Result<(Duration, Option<Vec<Counts>>)> {
        let page_size = self.prepare()?;
        let plan = self.plan(page_size, command)?;
        Ok(plan.map_or((Duration::ZERO, Some(Vec::new())), |mut plan| {
            (plan.estimate.time, plan.content.rows().map(|rows| rows.counts()))
        }))
    }

    /// Sets the connection up and returns the page size. Refuses a database that SQLite cannot write into.
    fn prepare(&mut self) -> Result<u32> {
        let path = self.live.path().to_owned();
        let connection = self.live.connection();
        // EXTRA makes the commit durable when it is reported: a removed journal whose folder was not synced would be
        // back after a power cut, and would roll the commit back. With a WAL, SQLite syncs the rows as well, but the
        // buffer in front of the WAL leaves that to `make_durable`. On macOS, a sync empties the disk's own cache only
        // with `fullfsync`; elsewhere the pragma does nothing. And no checkpoint may run while requests wait.
        let prepared = connection
            .execute_batch("PRAGMA synchronous = EXTRA; PRAGMA fullfsync = ON; PRAGMA wal_autocheckpoint = 0")
            .and_then(|()| connection.query_row("PRAGMA page_size", [], |row| row.get(0)))
            .and_then(|size| connection.query_row("PRAGMA schema_version", [], |_| Ok(size)));
        let page_size: u32 = prepared.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Refused::LiveIsDamaged {
                database: path.clone(),
                why: self.why.to_string(),
                reason: error.to_string(),
                cure: match self.why {
                    // If there is no file, every platform puts the new one in place.
                    Why::Obstacle(Obstacle::NoProof) => {
                        "stop the application, remove the file together with its -wal and -shm, start the application and push again"
                            .into()
                    }
                    _ => self.why.cure(),
                },
            }
            .into(),
            _ => Error::sqlite(format!("cannot read {}", path.shown()), error),
        })?;
        Ok(page_size)
    }

    /// Waits with the gates open, so that no request waits for a transaction that another process has left open.
    fn wait_for_the_write_lock(&mut self, client: &Client) -> Result<()> {
        let path = self.live.path().to_owned();
        let begun = Instant::now();
        let deadline = begun + self.fleet.patience();
        loop {
            let connection = self.live.connection();
            connection
                .busy_timeout(Duration::ZERO)
                .on_path("cannot set up a connection to", &path)?;
            match connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
                Ok(()) => {
                    self.fleet.count_wait(begun);
                    return Ok(());
                }
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

    /// Writes the content. Every member is closed.
    fn write(
        &mut self,
        closed_at: Instant,
        plan: &mut Plan,
        page_size: u32,
        another: Option<&Connection>,
        command: &Command,
    ) -> Result<Written> {
        let Plan {
            content, keep, bound, ..
        } = plan;
        let bound = *bound;
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
        let (seen, unwritten) = (Cell::new(*seen), Cell::new(unwritten.as_ref()));
        let keep = Cell::new(Some(keep));
        let in_time = |part: f64| Pause { closed_at, bound }.go_on(part, why, command);
        let confirm = || {
            unwritten.take().map_or(Ok(()), Unwritten::require)?;
            seen.take()
                .map_or(Ok(()), |seen| seen.confirm_locked(&path, another))?;
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
            fleet.announce(*schema_changes, *keeping != Keeping::Nothing)?;
            watchdog.commit();
            Ok(())
        };
        content.write(live, staged, page_size, go_on, commit)
    }

    /// A number that changes when another connection than the live one has committed.
    fn data_version(&self) -> Option<u32> {
        number(self.live.connection(), "PRAGMA data_version").ok()
    }

    /// Whether the held state is what was pushed. If that cannot be determined, SQLite's report of success counts.
    fn is_right(&self, plan: &mut Plan, command: &Command) -> bool {
        let (wal, staged) = (self.live.is_wal(), self.staged);
        let Plan { proof, content, .. } = plan;
        // In rollback mode a reader keeps writers out.
        let right = command.at_low_priority(move || match (content.rows(), wal) {
            (Some(rows), _) => rows.are_written(proof.reader()),
            (None, true) => proof.is_right(staged),
            (None, false) => proof.header_is_right(staged),
        });
        match &right {
            // Rows that are wrong are reported as an error.
            Ok(_) if plan.content.rows().is_some() => {}
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
        if !matches!(self.source, Source::File) {
            return Busy::TablesWritten {
                database: self.live.path().to_owned(),
            }
            .into();
        }
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
            Some(pid) if has_a_fence_open(pid) || members(self.fleet.fence()).contains(&pid) => format!(
                "{}, which belongs to this application: perhaps in a console, inside Hotswap.release, or on a connection that \
                 hotswap does not know, such as one with ATTACH",
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

    /// A WAL that was not synced may lose the commit in a power cut, and with it every later one: SQLite reads the
    /// frames up to the first that is not whole. A later commit that syncs the WAL syncs this one, too. So it is enough
    /// to sync the WAL before the success is reported, and requests need not wait for that.
    fn make_durable(&self, plan: &Plan, command: &Command) -> Result<()> {
        if !matches!(plan.content, Content::Rows(_)) || !self.live.is_wal() {
            return Ok(());
        }
        command.client.committed();
        let log = sidecars(self.live.path()).next().expect("the log comes first");
        // SQLite has no lock on the WAL itself that closing it could drop.
        let synced = File::open(&log).and_then(|log| log.sync_all());
        synced.on_path(
            "the new rows are in place, but a power cut may bring the old ones back: cannot sync",
            &log,
        )
    }

    /// Puts what undoes the write in its place. Returns whether there is a version to go back to.
    fn finish(&self, plan: &mut Plan, command: &Command) -> bool {
        let path = self.live.path();
        let keep = std::mem::replace(&mut plan.keep, Keep::Nothing);
        let Some(rows) = plan.content.rows() else {
            return keep.finish(path, self.why, self.keep, command);
        };
        rows.detach(&self.live);
        rows.settle(path, command).unwrap_or_else(|error| {
            let warning = format!(
                "the new rows are in place, but what undoes them is not in its place yet: {error}. The next push puts it there"
            );
            command.client.log("warn", &warning);
            command.client.status(format_args!("WARNING: {warning}"));
            false
        })
    }

    /// Reports the success. Called when the gates are open again.
    fn tell(&self, timeline: Timeline, closed_for: Duration, command: &Command) {
        command
            .client
            .status(format_args!("In place, because the database {}.", self.why));
        timeline.write(closed_for, command.client);
    }

    /// Comes when nothing holds an older state, which a checkpoint could not go past.
    fn checkpoint(&mut self, command: &Command) {
        let live = &mut self.live;
        command.at_low_priority(move || {
            live.checkpoint();
            live.release_checkpoints();
        });
    }
}
