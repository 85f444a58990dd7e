//! Some tables of a database: how they differ from those of another file, and how they become like them.
//!
//! This module works on connections and files. It knows no fleet, no gate and no client: its caller decides when to
//! compare, when to begin the transaction, and when to commit.
//!
//! 1. [`choose`] says which tables take part, and refuses those that cannot.
//! 2. [`Difference::find`] compares them row by row and writes a *difference file*: an SQLite database with the rows
//!    that go and the rows that come. It works in both directions, so it is also what undoes the change.
//! 3. [`Difference::attach`], before a transaction begins, then [`Difference::apply`] within it.

mod apply;
mod catalog;
mod choose;
mod compare;
mod counts;
mod cursor;
mod describe;
mod difference;
mod direction;
mod orphans;
mod pointers;
mod recoded;
mod search;
mod sql;
mod table;

pub(crate) use choose::choose;
pub(crate) use counts::Counts;
pub(crate) use difference::{is_difference, Difference, Direction, APPLICATION_ID};
pub(crate) use direction::Fit;
pub(crate) use orphans::{Orphans, Risk};
pub(crate) use table::Table;

#[cfg(test)]
mod tests;
