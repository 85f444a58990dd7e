//! Exit status 7: the new database was in use, its probe failed, and the previous version is back.

use std::path::PathBuf;

use crate::visible::Shown;

/// Why the previous version is back.
#[derive(Debug, thiserror::Error)]
#[error("the probe failed: {why}. The previous version of {database} is back in use. {}", fate(kept.as_ref(), *rows_only))]
pub struct RolledBack {
    /// Why the probe failed.
    pub why: String,
    /// The database, as people write it.
    pub database: String,
    /// Where the pushed database is now.
    pub kept: Option<PathBuf>,
    /// Whether the push was about some tables only.
    pub rows_only: bool,
}

fn fate(kept: Option<&PathBuf>, rows_only: bool) -> String {
    match kept {
        Some(kept) if rows_only => format!("The pushed rows are in {}", kept.shown()),
        Some(kept) => format!(
            "The pushed database, with everything written since, is {}",
            kept.shown()
        ),
        None => "The pushed database could not be kept".into(),
    }
}
