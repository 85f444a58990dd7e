//! One object of a schema: a table, an index, a view or a trigger.

use super::definition::Definition;

/// The kind and the name of an object. The case of the name counts: SQLite ignores it, but Active Record does not.
pub(crate) type Key = (Kind, Vec<u8>);

/// The kinds of objects, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Includes virtual tables.
    Table,
    /// An index that a statement creates.
    Index,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// A kind that this SQLite does not know.
    Other(Vec<u8>),
}

impl Kind {
    pub(crate) fn of(kind: &[u8]) -> Self {
        match kind.to_ascii_lowercase().as_slice() {
            b"table" => Self::Table,
            b"index" => Self::Index,
            b"view" => Self::View,
            b"trigger" => Self::Trigger,
            other => Self::Other(other.to_vec()),
        }
    }
}

/// One object of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// In its original case.
    pub name: Vec<u8>,
    /// The statement that creates the object.
    pub sql: Vec<u8>,
    /// What the statement means.
    pub definition: Definition,
}
