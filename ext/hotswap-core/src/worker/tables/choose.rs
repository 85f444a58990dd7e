//! Which tables take part.

use rusqlite::Connection;

use super::table::Table;
use crate::error::Result;

/// Chooses tables of the live database. `select` gets the names of all tables that can be chosen, and returns those that
/// the user means. Virtual tables that belong to a chosen table come along.
///
/// Refuses tables that differ in the pushed file, which the user calls `name`, and tables that cannot be replaced on
/// their own. `label` is what the user calls the live database.
pub(crate) fn choose(
    _select: impl FnOnce(&[String]) -> Result<Vec<String>>,
    _live: &Connection,
    _file: &Connection,
    _name: &str,
    _label: &str,
) -> Result<Vec<Table>> {
    todo!()
}
