//! The rows that differ, in a file.

use rusqlite::Connection;

use super::table::Table;
use crate::error::Result;
use crate::worker::disk::staged::Staged;

/// SQLite's `application_id` of a difference file.
pub(crate) const APPLICATION_ID: i32 = 0x6873_6469;

/// Forward makes the live tables like those of the pushed file. Back makes them as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

/// How many rows of a table differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub table: String,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
    pub kept: u64,
}

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

/// A difference file.
#[derive(Debug)]
pub(crate) struct Difference {
    _staged: Staged,
}

impl Difference {
    /// Compares `tables` of both databases and writes the difference into `staged`, which is empty and beside the live
    /// database. The caller has begun a read transaction on `live`. `tick` gets the number of rows that are compared
    /// and the number of rows of the file.
    pub(crate) fn find(
        _live: &Connection,
        _file: &Connection,
        _tables: &[Table],
        _staged: Staged,
        _tick: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<Self> {
        todo!()
    }

    /// Reads a difference that was kept. `staged` is the adopted file.
    pub(crate) fn open(_staged: Staged) -> Result<Self> {
        todo!()
    }

    /// Whether the tables have the same rows.
    pub(crate) fn is_empty(&self) -> bool {
        todo!()
    }

    /// The counts of every table, in the order of the tables. Forward, rows are added and removed as it says; back, the
    /// other way round.
    pub(crate) fn counts(&self) -> &[Counts] {
        todo!()
    }

    /// How many rows are written.
    pub(crate) fn rows(&self) -> u64 {
        todo!()
    }

    /// How many bytes of values are written.
    pub(crate) fn bytes(&self) -> u64 {
        todo!()
    }

    /// How many index entries are written.
    pub(crate) fn entries(&self) -> u64 {
        todo!()
    }

    /// The tables.
    pub(crate) fn tables(&self) -> &[Table] {
        todo!()
    }

    /// Prepares a connection for [`apply`](Self::apply), before its transaction begins: attaches the file, prepares
    /// every statement once, and turns off triggers and foreign keys. The connection serves nothing else afterwards.
    pub(crate) fn attach(&self, _live: &Connection) -> Result<()> {
        todo!()
    }

    /// Detaches the file again, when no transaction is open.
    pub(crate) fn detach(&self, _live: &Connection) -> Result<()> {
        todo!()
    }

    /// Reads what the transaction will read, so that the pages are in the caches. Needs [`attach`](Self::attach).
    pub(crate) fn warm(&self, _live: &Connection, _direction: Direction) -> Result<()> {
        todo!()
    }

    /// The rows that would point to nothing after the change, and did not before. Needs [`attach`](Self::attach). Works
    /// without a transaction, and within it before [`apply`](Self::apply).
    pub(crate) fn orphans(&self, _live: &Connection, _direction: Direction) -> Result<Vec<Orphans>> {
        todo!()
    }

    /// Writes the rows, within the transaction that the caller has begun and commits. Calls `go_on` often, with the part
    /// that is done. Returns the number of rows that it has written.
    pub(crate) fn apply(
        &self,
        _live: &Connection,
        _direction: Direction,
        _go_on: impl FnMut(f64) -> Result<()>,
    ) -> Result<u64> {
        todo!()
    }

    /// In which direction it can be applied. Needs [`attach`](Self::attach). Within the transaction, the answer stays true.
    pub(crate) fn direction(&self, _live: &Connection) -> Result<Fit> {
        todo!()
    }

    /// The file, complete. It is not synced yet.
    pub(crate) fn into_staged(self) -> Staged {
        todo!()
    }
}
