//! How many rows of a table differ.

/// How many rows of a table differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub table: String,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    pub kept: u64,
}

impl Counts {
    /// How many rows are written.
    pub(super) fn rows(&self) -> u64 {
        self.added + self.changed + self.removed
    }
}
