//! Whether a push may write into the live file.

use serde::{Deserialize, Serialize};

/// When a database is written into, in one transaction, instead of being replaced by a rename.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// If the file cannot be replaced or another program has it open, and writing takes no longer than max_pause
    #[default]
    Auto,
    /// Always, however long requests have to wait
    Always,
    /// Never: refuse the push instead
    Never,
}

impl std::fmt::Display for InPlace {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            InPlace::Auto => "auto",
            InPlace::Always => "always",
            InPlace::Never => "never",
        })
    }
}
