//! What a write in place will do, and how long it will take.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::changed_pages::Difference;
use super::content::Content;
use super::estimate::{Estimate, Size, CAUTION};
use super::pages::number;
use super::parameters::{InPlaceWrite, Source};
use super::pause::Pause;
use super::previous_version::{cannot_keep, Keep, Keeping};
use super::proof::Proof;
use super::rows::Rows;
use super::transaction::Transaction;
use crate::error::{Context, Error, Refused, Result};
use crate::in_place::InPlace;
use crate::worker::command::Command;
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::live::Live;
use crate::worker::push::room::{self, Operation};

/// What the WAL adds to each page, in bytes.
const HEADER: u64 = 24;

/// The plan of one attempt.
pub(super) struct Plan {
    pub content: Content,
    pub estimate: Estimate,
    /// How long the worker will ask the members to wait.
    pub bound: Duration,
    pub proof: Proof,
    /// The version that stays.
    pub keep: Keep,
    /// Whether the worker compares only when the gates are closed. Then the content is that of the plan before.
    pub in_the_pause: bool,
}

impl Plan {
    /// Fails with [`Busy::Written`](crate::error::Busy::Written) if the plan is out of date.
    pub(super) fn require_current(&self, live: &Live) -> Result<()> {
        match (&self.content, self.in_the_pause) {
            (Content::Rows(rows), false) => rows.require_current(live),
            // Pages that were written since are written as well.
            _ => Ok(()),
        }
    }

    /// Whether a state that is held proves that the write was right. Rows take too long where a reader keeps writers
    /// out.
    pub(super) fn is_provable(&self, wal: bool) -> bool {
        wal || !matches!(self.content, Content::Rows(_))
    }
}

impl InPlaceWrite<'_> {
    /// Plans the write. Refuses if it would take too long. `None` if there is nothing to write.
    pub(super) fn plan(&mut self, page_size: u32, command: &Command) -> Result<Option<Plan>> {
        let content = self.content(page_size, command)?;
        if content.is_empty() {
            return Ok(None);
        }
        let size = content.size(self.staged, page_size);
        // The worker itself has written wrong pages, if it writes all of them. Rows are kept as a difference.
        let keeping = match (&content, self.all_pages) {
            (Content::Rows(_), _) | (_, true) => Keeping::Nothing,
            _ => self.keep,
        };
        self.require_space(size, page_size, keeping, command)?;
        // Runs at full priority, as the write itself will. At a low one a busy machine would seem slower than it is.
        let mut estimate = Estimate::of(size, self.live.path(), page_size, self.live.is_wal())?;
        let keep = Keep::prepare(&self.live, keeping, command)?;
        estimate.time += keep.time();
        // Wrong pages have to be replaced, no matter how long that takes.
        let in_any_case = command.in_place() == InPlace::Always || self.all_pages;
        if !in_any_case && estimate.time > command.max_pause() {
            return Err(self.takes_too_long(&estimate, command));
        }
        let bound = match in_any_case {
            true => command.max_pause().max(estimate.time * 4),
            false => command.max_pause(),
        };
        Ok(Some(Plan {
            estimate,
            bound,
            proof: self.proof(&content, command)?,
            content,
            keep,
            in_the_pause: false,
        }))
    }

    /// When other processes write the tables all the time: a plan to compare them while requests wait. `None` if that
    /// would take too long, judging by the `last` time.
    pub(super) fn last_resort(&self, last: Plan, command: &Command) -> Option<Plan> {
        let Content::Rows(rows) = &last.content else {
            return None;
        };
        let time = rows.took.mul_f64(CAUTION) + last.estimate.time;
        let always = command.in_place() == InPlace::Always;
        let possible = !last.in_the_pause && (always || time <= command.max_pause().mul_f64(0.9));
        possible.then(|| Plan {
            bound: last.bound.max(if always { time * 4 } else { Duration::ZERO }),
            in_the_pause: true,
            ..last
        })
    }

    /// Compares while requests wait and no other process can write. The rest of the plan stays as it was, because the
    /// difference is about the same.
    pub(super) fn plan_again(
        &mut self,
        plan: &Plan,
        closed_at: Instant,
        command: &Command,
    ) -> Result<Option<Plan>> {
        let Plan { estimate, bound, .. } = *plan;
        self.fleet.ask_for(bound)?;
        let _watchdog = Watchdog::of_pause(closed_at, bound, self.staged.path(), command)?;
        let path = self.live.path();
        self.live
            .connection()
            .busy_timeout(command.max_pause() / 4)
            .on_path("cannot set up a connection to", path)?;
        let Some(transaction) = Transaction::begin(self.live.connection())? else {
            return Err(self.locked());
        };
        let pause = Pause { closed_at, bound };
        let keep = self.keep != Keeping::Nothing;
        let rows = Rows::find(&self.live, self.staged, self.source, keep, command, || {
            pause.go_on(0.0, self.why, command)
        })?;
        let content = Content::Rows(Box::new(rows));
        if content.is_empty() {
            return Ok(None);
        }
        let proof = self.proof(&content, command)?;
        transaction.keep();
        Ok(Some(Plan {
            estimate,
            bound,
            proof,
            content,
            keep: Keep::Nothing,
            in_the_pause: true,
        }))
    }

    fn proof(&self, content: &Content, command: &Command) -> Result<Proof> {
        let proof = Proof::prepare(self.live.path(), self.staged)?;
        if let Content::Rows(rows) = content {
            rows.attach_to(proof.reader(), command)?;
        }
        Ok(proof)
    }

    /// Finds what has to be written.
    fn content(&mut self, page_size: u32, command: &Command) -> Result<Content> {
        let (live, staged, source) = (&mut self.live, self.staged, self.source);
        match source {
            Source::File if self.all_pages => Ok(Content::AllPages),
            // If SQLite can write the pages that differ separately.
            Source::File => command.at_low_priority(move || {
                let pages = Difference::find(live, staged, page_size)?;
                Ok(pages.map_or(Content::AllPages, Content::Pages))
            }),
            _ => {
                let keep = self.keep != Keeping::Nothing;
                let rows = command.at_low_priority(move || {
                    Rows::find(live, staged, source, keep, command, || {
                        command.client.check_presence()
                    })
                })?;
                Ok(Content::Rows(Box::new(rows)))
            }
        }
    }

    /// A WAL takes the new pages, and a journal takes the old ones. The file may have to grow as well. And if what the
    /// worker replaces has to be kept, its copy needs room before the WAL can shrink again.
    fn require_space(&self, size: Size, page_size: u32, keeping: Keeping, command: &Command) -> Result<()> {
        let path = self.live.path();
        let folder =
            File::open(path.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", path)?;
        let live = std::fs::metadata(path).on_path("cannot stat", path)?.len();
        let bytes = size.bytes;
        let log = match self.live.is_wal() {
            true => bytes + bytes / u64::from(page_size) * HEADER,
            false => live,
        };
        let growth = match self.source {
            Source::File => self.staged.len().saturating_sub(live),
            _ => bytes,
        };
        let require = |bytes, what| room::require(&folder, bytes, what, command, Operation::Held);
        match keeping {
            Keeping::Required => {
                let content = self.length(live)?;
                require(
                    log + growth + content,
                    "writing into the database and keeping what it replaces",
                )
                .map_err(|error| cannot_keep(&error, path))
            }
            _ => require(log + growth, "writing into the database"),
        }
    }

    /// The length of the database, of which the last pages may be in the WAL only.
    fn length(&self, length: u64) -> Result<u64> {
        let connection = self.live.connection();
        let size = number(connection, "PRAGMA page_count")
            .and_then(|count| Ok(u64::from(count) * u64::from(number(connection, "PRAGMA page_size")?)));
        size.on_path("cannot read", self.live.path())
            .map(|size| size.max(length))
    }

    fn takes_too_long(&self, estimate: &Estimate, command: &Command) -> Error {
        Refused::SlowInPlace {
            why: self.why.to_string(),
            estimate: estimate.to_string(),
            max_pause: command.max_pause(),
            way_out: self.why.way_out(),
        }
        .into()
    }
}
