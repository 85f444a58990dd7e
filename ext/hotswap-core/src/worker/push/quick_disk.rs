//! Whether the disk of a database is fast enough for a rename while requests wait.
//!
//! The rename needs a sync before it and another one after it, and the worker cannot cancel the second one. A disk
//! that was just slow is likely to be slow again. So the worker times a sync while the gates are open, and closes
//! them only if it was fast.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Busy, Result};
use crate::visible::Shown;
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::disk::call::DiskCall;

use crate::worker::fleet::watchdog::Watchdog;

/// How often the worker checks, while it waits, whether the client is still there.
const GLANCE: Duration = Duration::from_millis(20);
/// How long the disk rests between two trials.
const REST: Duration = Duration::from_millis(100);
/// How long requests go on, at most, between two attempts. Each attempt closes the gates.
const LONGEST_BREATH: Duration = Duration::from_secs(2);
/// The user gets no line about a wait that is shorter than this.
const SOON: Duration = Duration::from_secs(1);
/// How often that line is printed.
const SELDOM: Duration = Duration::from_secs(10);
/// How long a command may take to end after the worker has given up.
const GRACE: Duration = Duration::from_secs(1);

/// The trial syncs of one push, and its deadline.
pub(super) struct QuickDisk {
    folder: PathBuf,
    max_pause: Duration,
    /// When the worker gives up.
    deadline: Instant,
    /// How long requests go on before the next attempt.
    breath: Duration,
    tell_next: Option<Instant>,
}

impl QuickDisk {
    /// The disk of the command's database, for which the worker waits for up to `patience` from now on.
    pub(super) fn of(command: &Command, patience: Duration) -> Self {
        Self {
            folder: command.path.parent().unwrap_or(Path::new("/")).to_owned(),
            max_pause: command.max_pause(),
            deadline: Instant::now() + patience,
            breath: command.max_pause() / 4,
            tell_next: None,
        }
    }

    /// How long one sync may take if requests may wait for `left`: half of it, because another sync follows.
    pub(super) fn allows(left: Duration) -> Duration {
        left / 2
    }

    /// Fails if closing the gates would be useless, because a single sync takes longer than requests may wait.
    pub(super) fn require(&self) -> Result<()> {
        let trial = self.begin_a_trial()?;
        match trial.wait_until(Instant::now() + self.max_pause) {
            Some(_) => Ok(()),
            None => Err(Busy::SlowDisk.into()),
        }
    }

    /// Waits, with the gates open, until a sync is fast again, and tells the user about the wait. If that takes too
    /// long, fails with nothing changed, and leaves a `watchdog` that ends the worker if the disk delays its end.
    pub(super) fn wait(
        &mut self,
        staged: &Path,
        command: &Command,
        watchdog: &mut Option<Watchdog>,
    ) -> Result<()> {
        self.tell_next.get_or_insert_with(|| Instant::now() + SOON);
        *watchdog = Some(Watchdog::until(
            self.deadline + GRACE,
            self.too_slow(),
            staged,
            command,
        )?);
        command
            .client
            .info("the disk is too slow to swap within max_pause, trying again");
        let breathed = Instant::now() + self.breath;
        self.breath = (self.breath * 2).min(LONGEST_BREATH);
        loop {
            self.go_on(command.client)?;
            let (trial, begun) = (self.begin_a_trial()?, Instant::now());
            while trial.wait_until(Instant::now() + GLANCE).is_none() {
                self.go_on(command.client)?;
            }
            if begun.elapsed() <= Self::allows(self.max_pause) && Instant::now() >= breathed {
                *watchdog = None;
                return Ok(());
            }
            std::thread::sleep(REST);
        }
    }

    fn go_on(&mut self, client: &Client) -> Result<()> {
        client.check_presence()?;
        let now = Instant::now();
        if now + self.max_pause >= self.deadline {
            return Err(self.too_slow()().into());
        }
        if self.tell_next.is_some_and(|next| now >= next) {
            self.tell_next = Some(now + SELDOM);
            client.status(format_args!(
                "Waiting for the disk of {}: a sync takes longer than requests may wait. Requests continue. Giving up in {:.0} s.",
                self.folder.shown(),
                (self.deadline - now).as_secs_f64()
            ));
        }
        Ok(())
    }

    fn too_slow(&self) -> impl Fn() -> Busy + Send + 'static {
        let (folder, max_pause) = (self.folder.clone(), self.max_pause);
        move || Busy::SlowSync {
            folder: folder.clone(),
            max_pause,
        }
    }

    /// An error of the trial sync is ignored: the real sync fails with the same error.
    fn begin_a_trial(&self) -> Result<DiskCall> {
        let folder = self.folder.clone();
        let trial = DiskCall::prepare(move || sync_a_new_file(&folder))?;
        trial.begin();
        Ok(trial)
    }
}

/// A new file makes the file system write metadata, as the rename does.
fn sync_a_new_file(folder: &Path) -> io::Result<()> {
    let mut file: File = tempfile::tempfile_in(folder)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()
}
