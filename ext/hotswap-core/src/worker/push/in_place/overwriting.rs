//! One write in place.

use super::keep::Keeping;
use super::reason::Why;
use crate::worker::check::seen::Seen;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::Fleet;
use crate::worker::live::Live;
use crate::worker::push::if_match::Unwritten;

/// Everything that a write in place needs. This worker has held the operation lock since before it looked at the
/// live database.
pub(crate) struct Overwriting<'a> {
    /// The fleet that uses the live database.
    pub fleet: &'a mut Fleet,
    /// The live database, open like any other connection.
    pub live: Live,
    /// Its new content: checked, and fitting (see [`adapt`](super::adapt)).
    pub staged: &'a Staged,
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
