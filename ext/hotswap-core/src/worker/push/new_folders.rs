//! The folders that a push makes for a database that does not exist yet.

use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::fence::{self, Fence, Lock};
use crate::settings::Database;
use crate::sys::birth;
use crate::visible::Shown;
use crate::worker::client::Client;

/// The folders that a push to `path` has made, the innermost first.
pub(super) struct NewFolders<'a> {
    path: &'a Path,
    made: Vec<PathBuf>,
}

impl<'a> NewFolders<'a> {
    /// Makes those that the database at `path` needs.
    pub(super) fn make(path: &'a Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let made = birth::make_folder(folder).on_path("cannot create the folder", folder)?;
        Ok(Self { path, made })
    }

    /// Tells the user and the log that there are new folders. A database of a pattern usually needs one.
    pub(super) fn tell(&self, database: &Database, client: &Client) {
        if let Some(new) = self.made.last() {
            let (level, advice) = match database.pattern {
                Some(_) => ("info", ""),
                None => (
                    "warn",
                    " If a disk should be mounted there, mount it and push again.",
                ),
            };
            let new = format!("Created {}, which did not exist.{advice}", new.shown());
            client.log(level, &new);
            client.status(new);
        }
    }

    /// Removes them if the push has not made the database, unless another program uses them by now.
    pub(super) fn unmake(&self) {
        let Some(folder) = self.made.first() else {
            return;
        };
        // A process that has joined keeps the first lock, and a worker the second. One that opens the fence now finds
        // under its own lock that the fence is not in place.
        let Ok(fence) = Fence::open(self.path) else {
            return;
        };
        if !fence.try_exclusive(Lock::Fence).got() || !fence.try_exclusive(Lock::Operation).got() {
            return;
        }
        let own = fence::path_of(self.path);
        let others = std::fs::read_dir(folder)
            .is_ok_and(|mut names| names.any(|name| name.is_ok_and(|name| name.path() != own)));
        if !others {
            let _ = std::fs::remove_file(own);
            // Only empty ones go.
            self.made
                .iter()
                .for_each(|folder| drop(std::fs::remove_dir(folder)));
        }
    }
}
