//! A whole database that is to take the place of the live one: a pushed file that has passed the checks, or the version
//! that a rollback swaps back in.

use std::path::Path;
use std::time::Instant;

use super::check_staged::check_staged;
use super::if_match::IfMatch;
use super::in_place::{self, InPlaceWrite, Keeping, Source, Why};
use super::obstacle::Obstacle;
use super::quick_disk::QuickDisk;
use super::replace::Swap;
use super::row_counts::BeforeAndAfter;
use super::{previous_version, rollback};
use crate::content_id::ContentId;
use crate::error::{Busy, Context, Error, Refused, Result};
use crate::in_place::InPlace;
use crate::previous::{Hidden, Returned};
use crate::protocol::{Figures, Request, Way};
use crate::sys::identity::Identity;
use crate::visible::Shown;
use crate::worker::check::seen::Seen;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::participants;
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::fleet::Fleet;
use crate::worker::live::{require_same_file, Live};
use crate::worker::snapshot::identity_of;
use crate::worker::summary::Summary;

/// The new database, and what has to be known to swap it in.
pub(super) struct WholeDatabase<'a> {
    pub command: &'a Command<'a>,
    pub staged: Staged,
    pub fleet: &'a mut Fleet,
    pub schema_changes: bool,
    pub seen: Option<Seen>,
    /// The content that the live database must have.
    pub if_match: Option<IfMatch>,
    /// The identity of the staged file, if the user compares identities.
    pub identity: Option<ContentId>,
    /// Ends the worker if a slow disk delays the end of the push. Dropped after the staged file.
    pub watchdog: Option<Watchdog>,
    /// How many previous versions stay next to the database.
    pub keep: u32,
    /// A rollback: the version that is to take the place of the live file.
    pub version: Option<Hidden>,
    /// "push" or "rollback".
    pub name: &'static str,
}

impl WholeDatabase<'_> {
    /// Computes the identity of the new content, for a user who compares identities.
    pub(super) fn identify(&mut self) -> Result<()> {
        let Self { command, staged, .. } = self;
        let Request {
            if_match, if_changed, ..
        } = command.request;
        if if_match.is_some() || *if_changed {
            let identity = command.at_low_priority(|| {
                identity_of(staged.file(), staged.path(), |_| command.client.check_presence())
            });
            self.identity = Some(identity?);
        }
        Ok(())
    }

    /// Swaps the file in, and tells the user and the log.
    pub(super) fn finish(
        mut self,
        live: Option<Live>,
        obstacle: Option<Obstacle>,
        rows: &BeforeAndAfter,
    ) -> Result<Figures> {
        participants::tell(self.fleet.fence(), self.command);
        self.command.client.status("Swapping database...");
        let live_before = live.as_ref().map(Live::identity);
        let outcome = self.swap(live, obstacle);
        let moved = self.staged.is_promoted();
        // Also if the sync after the rename has failed.
        if moved || outcome.is_ok() {
            previous_version::trim(self.command, self.fleet, self.keep);
        }
        let way = outcome.map_err(|error| match live_before {
            Some(expected) if !moved => blame_another_program(error, &self.command.path, expected),
            _ => error,
        })?;
        Ok(self.report(way, rows))
    }

    fn warn_of_unseen(&self, unseen: &[String]) {
        if !unseen.is_empty() {
            let who = unseen.join(", ");
            let path = self.command.path.shown();
            self.command.client.log(
                "warn",
                format_args!("could not find out in time which processes have {path} open: {who} could not be inspected"),
            );
        }
    }

    fn swap(&mut self, live: Option<Live>, obstacle: Option<Obstacle>) -> Result<Way> {
        let (path, choice) = (&*self.command.path, self.command.in_place());
        let why = Why::foreseen(choice, obstacle, path, |unseen| self.warn_of_unseen(unseen));
        match (why, live) {
            (Some(why), Some(live)) => self.overwrite(live, &why).map(|()| Way::InPlace),
            (_, live) => match self.replace(live) {
                Err(Error::Busy(Busy::Open {
                    holders,
                    of_the_application,
                    ..
                })) if choice == InPlace::Auto => {
                    self.fleet.resume()?;
                    let why = Why::Strangers {
                        who: holders,
                        of_the_application,
                    };
                    self.overwrite(Live::require(path)?, &why)?;
                    Ok(Way::InPlace)
                }
                replaced => replaced.map(|()| Way::Rename),
            },
        }
    }

    fn keeping(&self) -> Keeping {
        Keeping::in_a_push(self.keep, self.command.is_probed())
    }

    fn count_write(&mut self) -> Result<()> {
        let command = self.command;
        self.if_match
            .as_mut()
            .map_or(Ok(()), |if_match| if_match.count_write(command))
    }

    /// Replaces the database by a rename. While the disk is too slow for that, requests go on.
    fn replace(&mut self, mut live: Option<Live>) -> Result<()> {
        let path = &*self.command.path;
        let (stamp, expected) = (self.staged.stamp()?, live.as_ref().map(Live::identity));
        let (mut disk, keep) = (QuickDisk::of(self.command, self.fleet.patience()), self.keeping());
        loop {
            let unwritten = match &self.if_match {
                Some(if_match) => Some(if_match.compare(live.as_mut(), self.command)?),
                None => None,
            };
            let swap = Swap {
                fleet: self.fleet,
                live,
                staged: &mut self.staged,
                stamp,
                disk: &disk,
                schema_changes: self.schema_changes,
                seen: self.seen.as_ref(),
                unwritten,
                keep,
            };
            let slow = match swap.run(self.command) {
                Err(Error::Busy(Busy::SlowDisk)) => true,
                Err(Error::Busy(Busy::Written)) => false,
                outcome => return outcome,
            };
            self.fleet.resume()?;
            if !slow {
                self.count_write()?;
            }
            if slow {
                let begun = Instant::now();
                disk.wait(self.staged.path(), self.command, &mut self.watchdog)?;
                self.fleet.count_wait(begun);
            }
            live = match expected {
                Some(expected) => {
                    let again = Live::open(path)?;
                    require_same_file(path, expected)?;
                    again
                }
                None => None,
            };
        }
    }

    /// Writes the new content into the live file, in one transaction.
    fn overwrite(&mut self, mut live: Live, why: &Why) -> Result<()> {
        let version = self.copy_version()?;
        if let Some(seen) = &self.seen {
            require_same_file(live.path(), seen.identity)?;
        }
        let expected = live.identity();
        let rolls_back = version.is_some();
        let keep = match rolls_back {
            true => Keeping::Required,
            false => self.keeping(),
        };
        let (command, staged, open) = (self.command, &mut self.staged, &mut live);
        let rewritten = command.at_low_priority(move || match in_place::fit(staged, open, command)? {
            // A version may have another schema.
            true if rolls_back => rollback::pass(command, staged, open.is_wal()).map(|()| true),
            true => check_staged(command, staged, Some(&*open)).map(|_| true),
            false => Ok(false),
        })?;
        if rewritten {
            self.identify()?;
        }
        loop {
            let unwritten = match &self.if_match {
                Some(if_match) => Some(if_match.compare(Some(&mut live), command)?),
                None => None,
            };
            let write = InPlaceWrite {
                fleet: self.fleet,
                live,
                staged: &self.staged,
                source: Source::File,
                schema_changes: self.schema_changes,
                seen: self.seen.as_ref(),
                unwritten,
                why,
                keep,
                all_pages: false,
            };
            match write.run(command) {
                Err(Error::Busy(Busy::Written)) => {
                    self.fleet.resume()?;
                    self.count_write()?;
                }
                outcome => {
                    let done = outcome.map_err(|error| match error {
                        Error::Refused(Refused::CannotKeep { database, why }) if !rolls_back => {
                            Refused::NoWayBack { database, why }.into()
                        }
                        error => error,
                    })?;
                    let kept = done.kept;
                    if let Some(version) = version.filter(|_| kept) {
                        self.remove_version(version);
                    }
                    return Ok(());
                }
            }
            live = Live::require(&command.path)?;
            require_same_file(&command.path, expected)?;
        }
    }

    /// A rollback in place: copies the version, which has its own name meanwhile. So a worker that dies loses no
    /// version.
    fn copy_version(&mut self) -> Result<Option<Returned>> {
        let Some(version) = self.version.take() else {
            return Ok(None);
        };
        self.staged = rollback::copy(&self.staged, self.command)?;
        let path = version.path().to_owned();
        version.give_back().on_path("cannot rename", &path).map(Some)
    }

    /// The live file has the content of the version now, and what it had is the newest version.
    fn remove_version(&self, version: Returned) {
        if let Err(error) = version.remove() {
            let path = self.command.path.shown();
            self.command.client.log(
                "warn",
                format_args!("cannot remove the version of {path} that is live again: {error}"),
            );
        }
    }

    /// Tells the user and the log what was done.
    fn report(&self, way: Way, rows: &BeforeAndAfter) -> Figures {
        let Command { client, request, .. } = self.command;
        if let Some(warning) = self.seen.as_ref().and_then(Seen::late_jobs) {
            client.log("warn", &warning);
            client.status(warning);
        }
        client.account.note(|entry| entry.rows = rows.after.counted());
        let summary = Summary {
            command: self.name,
            label: &self.command.database.label,
            bytes: self.staged.len(),
            way,
            held: self.fleet.held(),
        };
        let options = request
            .options()
            .iter()
            .fold(String::new(), |all, option| format!("{all}, {option}"));
        client.status(format_args!("{summary}{}.", rows.before.changes_to(&rows.after)));
        client.info(format_args!(
            "{} complete: {summary}{options}, {}",
            summary.command,
            client.end()
        ));
        Figures {
            identity: self.identity,
            changed: request.if_changed.then_some(true),
            ..summary.figures()
        }
    }
}

/// If the live file has been moved away, reports that instead of an error that it caused.
fn blame_another_program(error: Error, path: &Path, expected: Identity) -> Error {
    match require_same_file(path, expected) {
        Err(moved @ Error::Busy(_)) if error.is_of_a_call() => moved,
        _ => error,
    }
}
