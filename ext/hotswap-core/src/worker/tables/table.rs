//! What hotswap has to know of a table to read and write its rows.

use serde::{Deserialize, Serialize};

/// A table whose rows are compared and written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Table {
    name: String,
}

impl Table {
    /// Its name, as the live database spells it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The names of the b-trees that the table's rows, its indexes and its virtual tables are in: every name that
    /// `sqlite_schema` has with a root page. A page of one of them that another process has written since makes a
    /// difference outdated.
    pub(crate) fn trees(&self, _live: &rusqlite::Connection) -> rusqlite::Result<Vec<u32>> {
        todo!()
    }
}
