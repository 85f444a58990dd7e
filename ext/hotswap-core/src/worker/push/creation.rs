//! What a push creates together with a new database: its folders and its fence.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::fence;
use crate::settings::Database;
use crate::sys::birth;
use crate::sys::file_lock;
use crate::visible::Shown;
use crate::worker::client::Client;

/// The creation of a database by a push.
pub(super) struct Creation<'a> {
    path: &'a Path,
    /// The folders that the push has made, the innermost first.
    made: Vec<PathBuf>,
    /// The innermost folder, if the push has made it. The push keeps it locked until it ends.
    _folder: Option<File>,
}

impl<'a> Creation<'a> {
    /// Makes the folders that the database at `path` needs.
    pub(super) fn begin(path: &'a Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut made = birth::make_folder(folder).on_path("cannot create the folder", folder)?;
        let opened = File::open(folder).on_path("cannot open", folder)?;
        let is_new = !made.is_empty();
        if is_new {
            // If the lock fails, the folder may stay when two pushes run at once and both are refused.
            let _ = file_lock::try_lock(&opened);
        } else if file_lock::is_locked(&opened) {
            // Another push has made the folder and is still at work. If both fail, the last one removes the folder.
            made.push(folder.to_owned());
        }
        Ok(Self {
            path,
            made,
            _folder: is_new.then_some(opened),
        })
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

    /// Removes the fence and the folders, unless another process uses them by now. For a push that has not created the
    /// database.
    pub(super) fn undo(&self) {
        fence::remove_unused(self.path);
        // This removes only empty folders.
        self.made
            .iter()
            .for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}
