//! `config.hotswap.redact`: what a redacted pull leaves out, or puts in its place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a client may pull.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullKind {
    /// The database as it is, unless the user asks for a redacted copy.
    #[default]
    Plain,
    /// Only a redacted copy. Root may pull the database as it is.
    Redacted,
}

/// A rule for the tables of one database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The name of the database. If absent, the first one.
    #[serde(default)]
    pub database: Option<String>,
    /// The name of a table, or a pattern.
    pub table: String,
    /// An SQL expression for each column whose values it replaces. If absent, the copy has no rows.
    #[serde(default)]
    pub columns: Option<BTreeMap<String, String>>,
}

/// A file of SQL statements that run on the copy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Script {
    /// The name of the database. If absent, the first one.
    #[serde(default)]
    pub database: Option<String>,
    /// The absolute path.
    #[serde(with = "crate::path")]
    pub path: PathBuf,
}
