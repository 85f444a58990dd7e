//! What a push would do, as `--dry-run` reports it. docs/guards.md documents the fields.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::way::Way;

/// The report of a dry run. A field is absent if it is not known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DryRun {
    /// How the new content would reach the live database.
    pub way: Way,
    /// Why it would be written in place: "it is open in process 4711 (sqlite3)" without the first word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How long requests would be held, in milliseconds: in place an estimate, otherwise the median of the last swaps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_ms: Option<f64>,
    /// How long the running requests and jobs took to end, in milliseconds, while new ones went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<f64>,
    /// The result of the integrity check: "passed" or "skipped"; absent if another check refused the file before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// The differences between the schemas: statements, then names. Empty if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema_difference: Option<String>,
    /// The live database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Side>,
    /// The pushed file.
    pub file: Side,
    /// The rows of each table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<BTreeMap<String, RowChange>>,
    /// With `--only` or `--except`: what the push would do to the rows of each table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<BTreeMap<String, TableChange>>,
    /// The processes that take part.
    pub processes: Vec<Process>,
    /// The warnings that the push would print.
    pub warnings: Vec<String>,
}

/// One of the two databases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The length.
    pub bytes: u64,
    /// The size of a page, in bytes.
    pub page_size: u64,
    /// "wal" or "rollback".
    pub journal_mode: String,
    /// `PRAGMA application_id`.
    pub application_id: i32,
    /// `PRAGMA user_version`.
    pub user_version: i32,
}

/// The number of rows of a table. Absent where there is no such table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChange {
    /// In the live database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// In the pushed file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// What a push does to the rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableChange {
    /// Rows whose key is only in the new content.
    pub added: u64,
    /// Rows that have other values in the new content.
    pub changed: u64,
    /// Rows whose key is only in the content before.
    pub removed: u64,
    /// Rows that are the same.
    pub kept: u64,
}

/// A process that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The pid.
    pub pid: u32,
    /// What it is for: "web", "job", "console", "other".
    pub role: String,
    /// Its command line, if it is known.
    pub command: String,
}
