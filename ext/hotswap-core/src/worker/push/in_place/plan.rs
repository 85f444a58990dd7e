//! What a write in place will do, and how long it will take.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::changed_pages::Difference;
use super::estimate::Estimate;
use super::keep::{cannot_keep, Keep, Keeping};
use super::overwriting::Overwriting;
use super::pages::number;
use super::proof::Proof;
use crate::error::{Context, Error, Refused, Result};
use crate::in_place::InPlace;
use crate::worker::command::Command;
use crate::worker::push::room::{self, Operation};

/// What the WAL adds to each page, in bytes.
const HEADER: u64 = 24;

/// The plan of one attempt.
pub(super) struct Plan {
    /// The pages that differ. `None` if all pages are to be written.
    pub difference: Option<Difference>,
    pub estimate: Estimate,
    /// How long the worker will ask the members to wait.
    pub bound: Duration,
    pub proof: Proof,
    /// The version that stays.
    pub keep: Keep,
}

impl Overwriting<'_> {
    /// Plans the write. Refuses if it would take too long.
    pub(super) fn plan(&mut self, page_size: u32, command: &Command) -> Result<Plan> {
        let difference = match self.all_pages {
            true => None,
            false => self.difference(page_size, command)?,
        };
        let bytes = difference.as_ref().map_or(self.staged.len(), Difference::bytes);
        // The worker itself has written wrong pages, if it writes all of them.
        let keeping = match self.all_pages {
            true => Keeping::Nothing,
            false => self.keep,
        };
        self.require_space(bytes, page_size, keeping, command)?;
        // Runs at full priority, as the write itself will. At a low one a busy machine would seem slower than it is.
        let mut estimate = Estimate::of(bytes, self.live.path(), page_size, self.live.is_wal())?;
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
        Ok(Plan {
            difference,
            estimate,
            bound,
            proof: Proof::prepare(self.live.path(), self.staged)?,
            keep,
        })
    }

    /// Finds the pages that differ, if SQLite can write them separately.
    fn difference(&mut self, page_size: u32, command: &Command) -> Result<Option<Difference>> {
        let (live, staged) = (&mut self.live, self.staged);
        command.at_low_priority(move || Difference::find(live, staged, page_size))
    }

    /// A WAL takes the new pages, and a journal takes the old ones. The file may have to grow as well. And if what the
    /// worker replaces has to be kept, its copy needs room before the WAL can shrink again.
    fn require_space(&self, bytes: u64, page_size: u32, keeping: Keeping, command: &Command) -> Result<()> {
        let path = self.live.path();
        let folder =
            File::open(path.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", path)?;
        let live = std::fs::metadata(path).on_path("cannot stat", path)?.len();
        let log = match self.live.is_wal() {
            true => bytes + bytes / u64::from(page_size) * HEADER,
            false => live,
        };
        let growth = self.staged.len().saturating_sub(live);
        let require = |bytes, what| room::require(&folder, bytes, what, command, Operation::Held);
        match keeping {
            Keeping::Required => {
                let content = self.content(live)?;
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
    fn content(&self, length: u64) -> Result<u64> {
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
            cure: self.why.cure(),
        }
        .into()
    }
}
