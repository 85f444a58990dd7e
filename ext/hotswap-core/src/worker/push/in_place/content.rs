//! What a write in place writes: the pages that differ, all pages, or rows of some tables.

use super::backup::{self, Written};
use super::changed_pages::Difference;
use super::estimate::Size;
use super::rows::Rows;
use crate::error::Result;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::sqlite::log_buffer::Durable;
use crate::worker::sqlite::vfs::{self, Purpose};

/// The new content.
#[derive(Debug)]
pub(super) enum Content {
    /// The pages that differ.
    Pages(Difference),
    /// All pages.
    AllPages,
    /// The rows that differ.
    Rows(Box<Rows>),
}

impl Content {
    /// Whether there is nothing to write. Pages are always written, because the first one counts the changes.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Rows(rows) if rows.is_empty())
    }

    /// How much is written at most, unless other processes commit more before.
    pub(super) fn size(&self, staged: &Staged, page_size: u32) -> Size {
        match self {
            Self::Pages(difference) => Size {
                bytes: difference.bytes(),
                rows: 0,
                entries: 0,
            },
            Self::AllPages => Size {
                bytes: staged.len(),
                rows: 0,
                entries: 0,
            },
            Self::Rows(rows) => rows.size(page_size),
        }
    }

    /// The rows, if rows are written.
    pub(super) fn rows(&mut self) -> Option<&mut Rows> {
        match self {
            Self::Rows(rows) => Some(rows),
            _ => None,
        }
    }

    /// Writes it, in one transaction. Calls `go_on` between steps, with the part that is done, and `commit` right
    /// before the step that cannot be undone.
    pub(super) fn write(
        &mut self,
        live: &mut Live,
        staged: &Staged,
        page_size: u32,
        go_on: impl FnMut(f64) -> Result<()>,
        commit: impl FnOnce() -> Result<()>,
    ) -> Result<Written> {
        match self {
            Self::Pages(difference) => difference.write(live, staged, go_on, commit),
            Self::AllPages => {
                let content = vfs::open(staged.path(), Purpose::Reading)?;
                backup::write(
                    &content,
                    live.connection_mut(),
                    page_size,
                    Durable::AtCommit,
                    go_on,
                    commit,
                )
            }
            Self::Rows(rows) => rows.write(live, go_on, commit),
        }
    }
}
