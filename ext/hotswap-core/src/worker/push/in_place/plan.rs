//! What a write in place will do, and how long it will take.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::changed_pages::Difference;
use super::estimate::Estimate;
use super::keep::Keep;
use super::overwriting::Overwriting;
use super::proof::Proof;
use crate::error::{Context, Error, Refused, Result};
use crate::in_place::InPlace;
use crate::worker::command::Command;
use crate::worker::push::room::{self, Operation};

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
        self.require_space(bytes, command)?;
        // Runs at full priority, as the write itself will. At a low one a busy machine would seem slower than it is.
        let mut estimate = Estimate::of(bytes, self.live.path(), page_size, self.live.is_wal())?;
        // The worker itself has written wrong pages, if it writes all of them.
        let keep = match self.keep && !self.all_pages {
            true => Keep::prepare(&self.live, command),
            false => Keep::Nothing,
        };
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

    /// A WAL takes the new pages, and a journal takes the old ones. The file may have to grow as well.
    fn require_space(&self, bytes: u64, command: &Command) -> Result<()> {
        let path = self.live.path();
        let folder =
            File::open(path.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", path)?;
        let live = std::fs::metadata(path).on_path("cannot stat", path)?.len();
        let kept = if self.live.is_wal() { bytes } else { live };
        let growth = self.staged.len().saturating_sub(live);
        room::require(
            &folder,
            kept + growth,
            "writing into the database",
            command,
            Operation::Held,
        )
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
