//! Whether the disk of a database is quick enough for a rename while requests wait.
//!
//! The rename needs a sync before it, and one after it that nobody can take back. A disk that has just been slow will be
//! slow again, so the worker tries it with the gates open, and closes them only where the disk was quick.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::disk_call::DiskCall;
use super::in_the_way::seconds;
use super::job::Job;
use super::watchdog::Watchdog;
use crate::error::{Error, Result};
use crate::visible::Shown;

/// How often the client is looked at while the worker waits.
const GLANCE: Duration = Duration::from_millis(20);
/// How long the disk rests between two trials.
const REST: Duration = Duration::from_millis(100);
/// For how long requests go on, at most, between two attempts: the gates close for each.
const LONGEST_BREATH: Duration = Duration::from_secs(2);
/// A wait that is over sooner is not worth a line.
const SOON: Duration = Duration::from_secs(1);
/// How often the line is written.
const SELDOM: Duration = Duration::from_secs(10);
/// How long the end of a command may take when the worker has given up.
const GRACE: Duration = Duration::from_secs(1);

/// See the module.
pub struct QuickDisk {
    folder: PathBuf,
    max_pause: Duration,
    /// When the worker gives up.
    deadline: Instant,
    /// For how long requests go on before the next attempt.
    breath: Duration,
    tell_next: Option<Instant>,
}

impl QuickDisk {
    /// The disk of the database at `path` (resolved), to which `job` gives time from now on.
    pub fn of(path: &Path, job: &Job) -> Self {
        Self {
            folder: path.parent().unwrap_or(Path::new("/")).to_owned(),
            max_pause: job.max_pause(),
            deadline: Instant::now() + job.timeout(),
            breath: job.max_pause() / 4,
            tell_next: None,
        }
    }

    /// When the worker gives up.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How long one sync may take, where requests wait for so long more at most: another one follows.
    pub fn allows(left: Duration) -> Duration {
        left / 2
    }

    /// Fails where the gates would be closed in vain: one sync takes all the time for which requests may wait.
    pub fn require(&self) -> Result<()> {
        let trial = self.begin_a_trial()?;
        match trial.wait_until(Instant::now() + self.max_pause) {
            Some(_) => Ok(()),
            None => Err(Error::SlowDisk),
        }
    }

    /// Waits until a sync is quick again, and tells the user so. The gates are open. Where that does not come in time
    /// nothing has changed, and `watchdog` gets what ends the worker if the disk holds up its end.
    pub fn wait(
        &mut self,
        database: &Path,
        staged: &Path,
        caller: &mut Caller,
        watchdog: &mut Option<Watchdog>,
    ) -> Result<()> {
        self.tell_next.get_or_insert_with(|| Instant::now() + SOON);
        *watchdog = Some(Watchdog::until(
            self.deadline + GRACE,
            self.too_slow(),
            database,
            staged,
            caller,
        )?);
        caller.info("the disk is too slow for a swap while requests wait, trying again");
        let breathed = Instant::now() + self.breath;
        self.breath = (self.breath * 2).min(LONGEST_BREATH);
        loop {
            self.bear(caller)?;
            let (trial, begun) = (self.begin_a_trial()?, Instant::now());
            while trial.wait_until(Instant::now() + GLANCE).is_none() {
                self.bear(caller)?;
            }
            if begun.elapsed() <= Self::allows(self.max_pause) && Instant::now() >= breathed {
                *watchdog = None;
                return Ok(());
            }
            std::thread::sleep(REST);
        }
    }

    fn bear(&mut self, caller: &mut Caller) -> Result<()> {
        caller.check_presence()?;
        let now = Instant::now();
        if now + self.max_pause >= self.deadline {
            return Err(Error::Busy(self.too_slow()));
        }
        if self.tell_next.is_some_and(|next| now >= next) {
            self.tell_next = Some(now + SELDOM);
            caller.status(format_args!(
                "Waiting for the disk of {}: a sync takes longer than requests may wait. Giving up in {:.0} s; requests go on.",
                self.folder.shown(),
                (self.deadline - now).as_secs_f64()
            ));
        }
        Ok(())
    }

    fn too_slow(&self) -> String {
        format!(
            "the disk of {} was busy: a sync took longer than half of max_pause ({}). Nothing was changed. \
             Copy again when the disk is less busy, or allow a longer pause with --max-pause SECONDS",
            self.folder.shown(),
            seconds(self.max_pause)
        )
    }

    /// What fails in it fails again where it counts.
    fn begin_a_trial(&self) -> Result<DiskCall> {
        let folder = self.folder.clone();
        let trial = DiskCall::prepare(move || sync_a_new_file(&folder))?;
        trial.begin();
        Ok(trial)
    }
}

/// As the rename does, it has the file system write something of its own.
fn sync_a_new_file(folder: &Path) -> io::Result<()> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()
}
