//! What a write in place needs, and what it has done.

use std::path::Path;

use super::previous_version::Keeping;
use super::reason::Why;
use crate::error::Result;
use crate::worker::check::seen::Seen;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::Fleet;
use crate::worker::live::Live;
use crate::worker::push::if_match::Unwritten;
use crate::worker::tables::{Counts, Table};

/// Everything that a write in place needs. This worker has held the operation lock since before it looked at the
/// live database.
pub(crate) struct InPlaceWrite<'a> {
    /// The fleet that uses the live database.
    pub fleet: &'a mut Fleet,
    /// The live database, open like any other connection.
    pub live: Live,
    /// The file with its new content: checked, and fitting (see [`adapt`](super::adapt)) if all of it is written.
    pub staged: &'a Staged,
    /// What of the file is written.
    pub source: Source<'a>,
    /// Whether the members have to forget the schema.
    pub schema_changes: bool,
    /// What the staged file was compared with.
    pub seen: Option<&'a Seen>,
    /// With `--if-match`: what shows a write since the comparison.
    pub unwritten: Option<Unwritten>,
    /// Why the file is not replaced.
    pub why: &'a Why,
    /// Whether the content before stays as the previous version.
    pub keep: Keeping,
    /// Whether to write all pages, including those that seem to be right.
    pub all_pages: bool,
}

/// What is written into the live database.
#[derive(Clone, Copy)]
pub(crate) enum Source<'a> {
    /// The whole staged file.
    File,
    /// The rows of some of its tables.
    Tables(Tables<'a>),
    /// The rows of a previous version that is a difference, at this path. `known` says whether the command that made it
    /// has ended.
    Version { path: &'a Path, known: bool },
}

/// Some tables of the staged file.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub chosen: &'a [Table],
    /// Refuses a change that the user does not want.
    pub judge: &'a (dyn Fn(&[Counts]) -> Result<()> + Sync),
    /// Whether only the owner of a file in the folder may rename it.
    pub in_sticky_folder: bool,
}

/// What a write in place has done.
#[derive(Debug)]
pub(crate) struct Done {
    /// Whether the content before stays as the previous version.
    pub kept: bool,
    /// The rows of each table, if only some tables were written. None of them may have changed.
    pub tables: Option<Vec<Counts>>,
    /// The size of the database now.
    pub bytes: u64,
}
