//! Whether a push may write into the live file.

use serde::{Deserialize, Serialize};

/// When a database is written into, in one transaction, instead of being replaced by a rename.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum InPlace {
    /// Where the file cannot be renamed, or another program has it open, and it takes no longer than max_pause
    #[default]
    Auto,
    /// Whatever it takes; requests wait until it is done
    Always,
    /// Refuse instead
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
