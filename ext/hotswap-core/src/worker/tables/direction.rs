//! In which direction a difference that was kept can be applied.

use rusqlite::Connection;

use super::difference::{Difference, Direction};
use crate::error::Result;

/// How a difference fits the rows of the live database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It can be applied in this direction.
    Applies(Direction),
    /// The live tables are not the ones that the difference was made for: what differs.
    OtherSchema(String),
    /// Rows of these tables were changed since, so many.
    Changed(Vec<(String, u64)>),
}

impl Difference {
    /// In which direction it can be applied. Needs [`attach`](Self::attach). Within the transaction, the answer stays true.
    pub(crate) fn direction(&self, _live: &Connection) -> Result<Fit> {
        todo!()
    }
}
