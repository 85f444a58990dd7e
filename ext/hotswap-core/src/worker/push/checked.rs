//! What the checks of a pushed file found.

use super::check_staged::check_staged;
use super::obstacle::Obstacle;
use super::row_counts::{BeforeAndAfter, RowCounts};
use super::some_tables::SomeTables;
use crate::error::Result;
use crate::worker::check::Passed;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::vfs::Purpose;

/// What is pushed of a file that has passed the checks.
pub(super) enum Checked {
    /// All of it.
    Whole(Passed, BeforeAndAfter),
    /// Some of its tables.
    Tables(SomeTables),
}

impl Checked {
    /// Checks the staged file for what `command` pushes of it.
    pub(super) fn check(
        command: &Command,
        staged: &mut Staged,
        live: &mut Option<Live>,
        obstacle: Option<Obstacle>,
    ) -> Result<Self> {
        match &command.request.tables {
            Some(selection) => SomeTables::check(command, selection, staged, live.as_mut()).map(Self::Tables),
            None => {
                check_whole(command, staged, live, obstacle).map(|(passed, rows)| Self::Whole(passed, rows))
            }
        }
    }

    /// What the user should know before the swap.
    pub(super) fn warnings(&self) -> &[String] {
        match self {
            Self::Whole(passed, _) => &passed.warnings,
            Self::Tables(_) => &[],
        }
    }
}

/// Checks the staged file, and counts the rows.
fn check_whole(
    command: &Command,
    staged: &mut Staged,
    live: &mut Option<Live>,
    obstacle: Option<Obstacle>,
) -> Result<(Passed, BeforeAndAfter)> {
    // The thread borrows `live` mutably: a connection may move to another thread, but must not be shared.
    command.at_low_priority(move || {
        let live = live.as_ref();
        // In a folder where only the owner of a file may remove it, a staged file with another owner would stay.
        if live.is_some() && obstacle.is_none() {
            staged.copy_ownership_from(&command.path)?;
        }
        if live.is_none() {
            staged.own_as_new(&command.path)?;
        }
        let passed = check_staged(command, staged, live)?;
        let before = live.map(|live| RowCounts::count(live.connection(), live.path()));
        let extensions = &command.database.extensions;
        let after = Foreign::open(staged.path(), Purpose::Reading, extensions, command.client)
            .map(|judging| RowCounts::count(&judging, staged.path()));
        let rows = BeforeAndAfter {
            before: before.unwrap_or_default(),
            after: after.unwrap_or_default(),
        };
        Ok((passed, rows))
    })
}
