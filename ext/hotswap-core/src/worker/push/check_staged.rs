//! The checks of a staged file.

use crate::error::Result;
use crate::worker::check::{Check, Passed};
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::sqlite::header::DatabaseHeader;

/// Checks the staged file as a database that is not in WAL mode, so that SQLite needs no other file next to it. Then
/// gives it the journal mode of the live database, and makes it durable. Converting it later would be a race between
/// the application's first connections.
pub(super) fn check_staged(command: &Command, staged: &mut Staged, live: Option<&Live>) -> Result<Passed> {
    let own = DatabaseHeader::read(&staged.head()?).wal;
    staged.set_wal(false)?;
    let passed = Check::of(command).run(staged, live)?;
    staged.set_wal(live.map_or(own, Live::is_wal))?;
    staged.sync(|| command.client.check_presence())?;
    Ok(passed)
}
