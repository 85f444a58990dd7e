//! What a push creates together with a new database: its folders and its fence.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Context, Result};
use crate::fence;
use crate::settings::Database;
use crate::sys::birth;
use crate::sys::file_lock;
use crate::sys::identity::Identity;
use crate::visible::Shown;
use crate::worker::client::Client;

/// How long a push waits for another one that may be removing the folder.
const REMOVAL: Duration = Duration::from_millis(500);

/// The creation of a database by a push.
pub(super) struct Creation<'a> {
    path: &'a Path,
    /// The folders that the push has made, the innermost first.
    made: Vec<PathBuf>,
    /// The innermost folder. All pushes that create a database there share its lock while they are at work.
    folder: File,
}

impl<'a> Creation<'a> {
    /// Makes the folders that the database at `path` needs.
    pub(super) fn begin(path: &'a Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let deadline = Instant::now() + REMOVAL;
        let mut made = Vec::new();
        loop {
            made.extend(birth::make_folder(folder).on_path("cannot create the folder", folder)?);
            let opened = match File::open(folder) {
                Err(error) if error.kind() == ErrorKind::NotFound && Instant::now() < deadline => continue,
                opened => opened.on_path("cannot open", folder)?,
            };
            let is_shared = file_lock::held_by_another(&opened);
            let is_being_removed = file_lock::held_exclusively(&opened) || !is_in_place(&opened, folder);
            // A program that is not hotswap may keep the lock for longer.
            if is_being_removed && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            }
            if made.is_empty() && is_shared && fence::path_of(path).exists() {
                // Another push has made the folder and is still at work. If both fail, the last one removes the folder.
                made.push(folder.to_owned());
            }
            return Ok(Self {
                path,
                made,
                folder: opened,
            });
        }
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
        if file_lock::held_by_another(&self.folder) {
            return;
        }
        // Only empty ones go.
        self.made
            .iter()
            .for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
}

fn is_in_place(opened: &File, folder: &Path) -> bool {
    let identity = |metadata: Metadata| Identity::of(&metadata);
    opened.metadata().map(identity).ok() == std::fs::metadata(folder).map(identity).ok()
}
