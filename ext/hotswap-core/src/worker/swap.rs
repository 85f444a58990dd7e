//! The swap: from a checked staged file and a running fleet to a fleet on the new file.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::fleet::Fleet;
use super::job::Job;
use super::live::{remove_sidecars, Live, Seized};
use super::replaced::Replaced;
use super::staged::Staged;
use super::timeline::Timeline;
use super::watchdog::Watchdog;
use crate::error::{Context, Error, Result};

/// What is swapped for what.
pub struct Swap<'a> {
    /// The live path, resolved.
    pub path: &'a Path,
    /// Who uses it. Under our command since before the live database was looked at: what was compared is what
    /// is replaced, and no other worker has it open.
    pub fleet: &'a mut Fleet,
    /// The live database, open like any other connection; `None` where there is none yet.
    pub live: Option<Live>,
    /// What takes its place: checked, dressed, durable.
    pub staged: &'a mut Staged,
    /// Whether the members have to forget the schema.
    pub schema_changes: bool,
}

impl Swap<'_> {
    /// Does it, or changes nothing. `replaced` gets the file that was there, past the commit point also where this fails.
    pub fn run(self, job: &Job, caller: &mut Caller, replaced: &mut Option<Replaced>) -> Result<()> {
        let folder = File::open(self.path.parent().unwrap_or(Path::new("/")))
            .on_path("cannot open the folder of", self.path)?;
        let live_before = self.live.as_ref().map(Live::identity);
        let stamp = self.staged.stamp()?;

        let fleet = self.fleet;
        let mut timeline =
            Timeline::begin(fleet.gather(caller, || self.live.iter().for_each(Live::checkpoint))?);
        let closed_at = Instant::now();
        timeline.note("disconnected ActiveRecord");
        let watchdog = Watchdog::of_pause(closed_at, job.max_pause(), self.path, self.staged.path(), caller)?;

        let seized = self
            .live
            .map(|live| live.seize(job.max_pause() / 4))
            .transpose()?;
        if seized.is_none() && self.path.try_exists().on_path("cannot stat", self.path)? {
            return Err(appeared(self.path));
        }
        remove_sidecars(self.path, &folder)?;
        if let (Some(seized), Some(live_before)) = (&seized, live_before) {
            seized.confirm(live_before)?;
        }
        self.staged.require_unchanged(stamp)?;
        caller.check_presence()?;
        fleet.announce(self.schema_changes)?;
        let staged_path = self.staged.path().to_owned();
        watchdog.commit();
        self.staged.promote(self.path).inspect_err(|_| fleet.retract())?;
        timeline.note(format!(
            "renamed {} → {}",
            staged_path.display(),
            self.path.display()
        ));
        // Only now is it the new database even after a power cut.
        let durable = folder.sync_all().on_path(
            "the new database is in place, but after a power cut the old one may be back: cannot sync the folder of",
            self.path,
        );
        let resumed = fleet.resume();
        let closed_for = closed_at.elapsed();
        timeline.note("swap lock released, requests resuming");
        timeline.note("reconnected ActiveRecord");

        narrate(caller, timeline, closed_for, seized.as_ref());
        *replaced = seized.map(Seized::replaced);
        durable.and(resumed.map_err(Error::past_the_commit))
    }
}

fn appeared(path: &Path) -> Error {
    Error::Busy(format!(
        "{} was created by somebody else meanwhile; copy again",
        path.display()
    ))
}

/// Told after the gates are open: nobody waits for a line in a log.
fn narrate(caller: &mut Caller, timeline: Timeline, closed_for: Duration, seized: Option<&Seized>) {
    timeline.write(caller);
    caller.log(
        "debug",
        format_args!(
            "the file was closed to everybody for {:.2} ms",
            closed_for.as_secs_f64() * 1e3
        ),
    );
    if let Some(doubt) = seized.and_then(Seized::doubt) {
        caller.log("warn", doubt);
    }
}
