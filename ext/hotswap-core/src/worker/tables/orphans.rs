//! Rows that would point to nothing.

use rusqlite::Connection;

use super::difference::{Difference, Direction};
use crate::error::Result;

/// Rows that would point to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphans {
    /// The table of the rows, and the columns that point.
    pub table: String,
    pub columns: Vec<String>,
    /// The table that they point to.
    pub parent: String,
    pub count: u64,
    /// At most ten rows, each as text: `id 17 (article_id 4)`.
    pub examples: Vec<String>,
}

impl Difference {
    /// The rows that would point to nothing after the change, and did not before. Needs [`attach`](Self::attach). Works
    /// without a transaction, and within it before [`apply`](Self::apply).
    pub(crate) fn orphans(&self, _live: &Connection, _direction: Direction) -> Result<Vec<Orphans>> {
        Ok(Vec::new())
    }
}
