//! How new content reaches the live database.

use serde::{Deserialize, Serialize};

/// How new content reaches the live database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// As a file that replaces the live one.
    Rename,
    /// Written into the live file.
    InPlace,
}
