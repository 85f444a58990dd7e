//! The swap: from a checked staged file and a running fleet to a fleet on the new file.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::if_match::Unwritten;
use super::in_place::Keeping;
use super::obstacle::Obstacle;
use super::previous_version::Kept;
use super::quick_disk::QuickDisk;
use super::timeline::Timeline;
use crate::error::{Busy, Change, Context, Error, Result};
use crate::worker::check::seen::Seen;
use crate::worker::command::Command;
use crate::worker::disk::call::DiskCall;
use crate::worker::disk::staged::{Staged, Stamp};
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::fleet::Fleet;
use crate::worker::live::exclusive::Exclusive;
use crate::worker::live::writers_out::WritersOut;
use crate::worker::live::{remove_sidecars, require_same_file, Live};

/// The two files of a swap, and everything it needs.
pub(super) struct Swap<'a> {
    /// The fleet that uses it. This worker has commanded the fleet since before it looked at the live database, so
    /// no other worker has the database open.
    pub fleet: &'a mut Fleet,
    /// The live database, open like any other connection, or `None` if it does not exist yet.
    pub live: Option<Live>,
    /// The file that takes its place: checked, with the owner and mode of the live one, and durable.
    pub staged: &'a mut Staged,
    /// The stamp of the staged file when it was checked.
    pub stamp: Stamp,
    /// The disk of both files.
    pub disk: &'a QuickDisk,
    /// Whether the members have to forget the schema.
    pub schema_changes: bool,
    /// What the staged file was compared with.
    pub seen: Option<&'a Seen>,
    /// With `--if-match`: what shows a write since the comparison.
    pub unwritten: Option<Unwritten>,
    /// Whether the replaced file stays next to the new one.
    pub keep: Keeping,
}

impl Swap<'_> {
    /// Swaps the files, or changes nothing. [`Busy::SlowDisk`] and [`Busy::Written`] mean that the swap may work a
    /// little later.
    /// Past the commit point the command keeps the old file locked, even if this fails.
    pub(super) fn run(self, command: &Command) -> Result<()> {
        let (client, path) = (command.client, &*command.path);
        let folder =
            File::open(path.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", path)?;
        let live_before = self.live.as_ref().map(Live::identity);
        let wal = self.live.as_ref().is_some_and(Live::is_wal);
        let sync_folder = || {
            let folder = folder.try_clone().on_path("cannot open the folder of", path)?;
            DiskCall::prepare(move || folder.sync_all())
        };
        let (sync_unlink, sync) = (sync_folder()?, sync_folder()?);
        let fleet = self.fleet;
        // Not on the exclusive connection: it would have to read the schema first, while requests wait.
        let count_late_jobs = || {
            if let (Some(live), Some(seen)) = (&self.live, self.seen) {
                // Does not wait for another program's lock, because requests may be waiting. It blocks the swap anyway.
                let _ = live.connection().busy_timeout(Duration::ZERO);
                seen.count_late_jobs(live.connection());
            }
        };
        let mut timeline = Timeline::begin(fleet.gather(client, self.schema_changes, || {
            // Most writes show here, before any request waits.
            self.unwritten.iter().try_for_each(Unwritten::require)?;
            // Reads the schema and the pages into the cache, so that the second count, in the pause, is quick.
            count_late_jobs();
            self.live.iter().for_each(Live::checkpoint);
            self.disk.require()
        })?);
        let closed_at = Instant::now();
        timeline.note("disconnected ActiveRecord");
        let watchdog = Watchdog::of_pause(closed_at, command.max_pause(), self.staged.path(), command)?;

        if let Some(live_before) = live_before {
            require_same_file(path, live_before)?;
        }
        count_late_jobs();
        let seal = match (self.unwritten, &self.live) {
            (Some(unwritten), Some(live)) => Some(unwritten.seal(live)?),
            _ => None,
        };
        let exclusive = self
            .live
            .map(|live| live.lock_exclusively(command.max_pause() / 4))
            .transpose()?;
        if exclusive.is_none() && path.try_exists().on_path("cannot stat", path)? {
            return Err(Busy::Changed {
                path: path.to_owned(),
                change: Change::Created,
            }
            .into());
        }
        if let Some(seal) = seal {
            seal.confirm(path)?;
        }
        // The push may have waited for a migration.
        if let (Some(exclusive), Some(seen)) = (&exclusive, self.seen) {
            seen.confirm(exclusive.connection(), path)?;
        }
        remove_sidecars(path)?;
        sync_unlink.begin();
        let left = (closed_at + command.max_pause()).saturating_duration_since(Instant::now());
        sync_unlink
            .wait_until(Instant::now() + QuickDisk::allows(left))
            .ok_or(Busy::SlowDisk)?
            .context("cannot sync the database's folder")?;
        if let (Some(exclusive), Some(live_before)) = (&exclusive, live_before) {
            exclusive.confirm(live_before)?;
        }
        Obstacle::require_none(path)?;
        self.staged.require_unchanged(self.stamp)?;
        client.check_presence()?;
        let kept = match exclusive.is_some() {
            true => Kept::link(path, self.keep)?,
            false => Kept::Nothing,
        };
        fleet.announce(self.schema_changes, matches!(kept, Kept::Linked(_)))?;
        let staged_path = self.staged.path().to_owned();
        watchdog.commit();
        self.staged.promote(path).inspect_err(|_| fleet.retract())?;
        let kept = kept.put_in_place();
        sync.begin();
        client.committed();
        timeline.note(format!("renamed {} → {}", staged_path.display(), path.display()));
        // Only a sync makes sure that the new database is still there after a power cut.
        let in_time = sync.wait_until(closed_at + command.max_pause().mul_f64(0.9));
        let late = in_time.is_none();
        let writers = (late && !wal).then(|| WritersOut::keep(path));
        if late {
            fleet.let_in();
        }
        let mut closed_for = closed_at.elapsed();
        let durable = in_time.unwrap_or_else(|| {
            timeline.note("swap lock released, requests resuming; the rename is not durable yet");
            client.log(
                "warn",
                "the new database is in place and in use, but not durable yet: the disk is slow",
            );
            client.status(
                "The new database is in place and in use. Waiting for the disk to make it durable...",
            );
            sync.wait()
        });
        drop(writers);
        let durable = durable.on_path(
            "the new database is in place, but a power cut may bring the old one back: cannot sync the folder of",
            path,
        );
        let resumed = fleet.resume();
        if !late {
            closed_for = closed_at.elapsed();
            timeline.note("swap lock released, requests resuming");
        }
        timeline.note("reconnected ActiveRecord");

        timeline.write(closed_for, client);
        kept.tell(path, client);
        if let Some(doubt) = exclusive.as_ref().and_then(Exclusive::doubt) {
            client.log("warn", doubt);
        }
        command.keep_locked(exclusive.map(Exclusive::replaced));
        durable.and(resumed.map_err(Error::past_the_commit))
    }
}
