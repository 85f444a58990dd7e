//! A full-text index without content of its own, which reads that of a table.
//!
//! Triggers keep it right when the application writes. They do not fire when hotswap does, so hotswap tells the index
//! which rows go, with the values that they had, and which rows come. Not every row of the table has to be in the
//! index: what counts is whether it was (for a row that goes), and whether it is in the pushed file (for one that
//! comes).

use serde::{Deserialize, Serialize};

use super::sql::{list, parameters, quoted};

/// A full-text index of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Search {
    pub name: String,
    pub is_fts5: bool,
    pub table: String,
    /// The column of the table that is the rowid in the index.
    pub rowid: String,
    pub columns: Vec<String>,
    /// Whether it has a table that knows the rows in the index.
    pub sized: bool,
}

impl Search {
    /// Whether the index has the row of the outer query.
    pub(super) fn has_row(&self) -> String {
        if !self.sized {
            return "1".into();
        }
        format!(
            "EXISTS (SELECT 1 FROM main.{} AS sized WHERE sized.{} = {}.{})",
            quoted(&format!("{}_docsize", self.name)),
            if self.is_fts5 { "id" } else { "docid" },
            quoted(&self.table),
            quoted(&self.rowid)
        )
    }

    /// The statement that takes a row out of the index, and the names of its parameters in a difference file.
    pub(super) fn delete(&self, place_of: impl Fn(&str) -> Option<String>) -> Option<(String, Vec<String>)> {
        let rowid = place_of(&self.rowid)?;
        if !self.is_fts5 {
            // It reads the values of the row from the table, so the row has to be there still.
            let sql = format!("DELETE FROM main.{} WHERE docid = ?1", quoted(&self.name));
            return Some((sql, vec![rowid]));
        }
        let sql = format!(
            "INSERT INTO main.{name} ({name}, rowid, {columns}) VALUES ('delete', {values})",
            name = quoted(&self.name),
            columns = list(self.columns.iter().map(|column| quoted(column))),
            values = parameters(self.columns.len() + 1)
        );
        Some((sql, self.places(rowid, place_of)?))
    }

    /// The statement that puts a row into the index, and the names of its parameters.
    pub(super) fn insert(&self, place_of: impl Fn(&str) -> Option<String>) -> Option<(String, Vec<String>)> {
        let rowid = place_of(&self.rowid)?;
        let sql = format!(
            "INSERT INTO main.{} ({}, {}) VALUES ({})",
            quoted(&self.name),
            if self.is_fts5 { "rowid" } else { "docid" },
            list(self.columns.iter().map(|column| quoted(column))),
            parameters(self.columns.len() + 1)
        );
        Some((sql, self.places(rowid, place_of)?))
    }

    fn places(&self, rowid: String, place_of: impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
        let columns = self.columns.iter().map(|column| place_of(column));
        std::iter::once(Some(rowid)).chain(columns).collect()
    }
}
