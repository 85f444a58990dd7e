//! Why the live database cannot be replaced by a rename.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Busy, Context, Error, Refused, Result};
use crate::previous;
use crate::sys::{lease, rights, stat};

/// Why a file cannot take the place of the live one: the rename cannot work, or it would leave other names behind.
/// The text completes "it ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The file has this many names.
    HardLinks(u64),
    /// The rename would fail with EBUSY, in the middle of a swap.
    SingleFileMount,
    /// The rename would fail with EPERM: only the owner of a file or of the sticky folder may rename it.
    StickyFolder,
    /// The new file would have another owner or group, and the users of the live one would lose their access.
    Ownership {
        /// The owner of the live file.
        uid: u32,
        /// The group of the live file.
        gid: u32,
    },
    /// A process could have the file open, and go on with it.
    NoProof,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Obstacle::HardLinks(names) => write!(
                out,
                "has {names} names (hard links); replacing one would leave the others on the old database"
            ),
            Obstacle::SingleFileMount => out.write_str("is mounted as a single file, which cannot be replaced"),
            Obstacle::StickyFolder => out.write_str(
                "belongs to another user and lies in a folder with the sticky bit, where only its owner can replace it",
            ),
            Obstacle::Ownership { uid, gid } => write!(
                out,
                "belongs to user {uid} and group {gid}, and the application may not give a new file to them, so they would lose \
                 access to the database"
            ),
            Obstacle::NoProof => out.write_str(
                "could be open in a process outside the application, and hotswap can rule that out only on Linux",
            ),
        }
    }
}

impl Obstacle {
    /// Looks for an obstacle. Returns `None` if there is no file yet.
    pub(super) fn of(path: &Path) -> Result<Option<Self>> {
        let live = match std::fs::symlink_metadata(path) {
            Ok(live) => live,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).on_path("cannot stat", path),
        };
        if !live.is_file() {
            let database = path.to_owned();
            return Err(Refused::LiveIsNoFile { database }.into());
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        let about_folder = std::fs::metadata(folder).on_path("cannot stat", folder)?;
        let names = match live.nlink() {
            // A worker that was killed at the wrong moment has left a second name.
            names @ 2.. => names.saturating_sub(previous::hidden_names_of(path)),
            one => one,
        };
        Ok(if mount_of(path)? != mount_of(folder)? {
            Some(Obstacle::SingleFileMount)
        } else if names > 1 {
            Some(Obstacle::HardLinks(names))
        } else if keeps_others_out(&about_folder, &live) {
            Some(Obstacle::StickyFolder)
        } else if takes_access_away(&about_folder, &live) {
            Some(Obstacle::Ownership {
                uid: live.uid(),
                gid: live.gid(),
            })
        } else if !lease::EXISTS {
            Some(Obstacle::NoProof)
        } else {
            None
        })
    }

    /// The last check, under the lock: another name or a mount may have appeared since the first one.
    pub(super) fn require_none(path: &Path) -> Result<()> {
        match Self::of(path)? {
            None => Ok(()),
            Some(obstacle) => Err(Busy::NewObstacle {
                database: path.to_owned(),
                obstacle: obstacle.to_string(),
            }
            .into()),
        }
    }

    /// The refusal for `--in-place=never`.
    pub(super) fn refusal(self, path: &Path) -> Error {
        let cure = match self {
            Obstacle::HardLinks(_) => "Remove the other names",
            Obstacle::SingleFileMount => "Mount its folder instead",
            Obstacle::StickyFolder => {
                "Remove the sticky bit of its folder, or run the application as the file's owner"
            }
            Obstacle::NoProof => "Push on Linux",
            Obstacle::Ownership { .. } => {
                "Run the application as the file's owner, or as a member of the file's group"
            }
        };
        Refused::Obstacle {
            database: path.to_owned(),
            obstacle: self.to_string(),
            cure,
        }
        .into()
    }
}

/// `S_ISVTX` and `S_ISGID`, which have another type on each system.
const STICKY: u32 = 0o1000;
const SET_GROUP: u32 = 0o2000;

fn keeps_others_out(folder: &Metadata, live: &Metadata) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    folder.mode() & STICKY != 0 && ![folder.uid(), live.uid()].contains(&own) && !rights::acts_as_any_owner()
}

/// Whether a new file would be out of reach for users who can reach the live one. A new file with the live one's
/// group is not: several users share a database through that group.
fn takes_access_away(folder: &Metadata, live: &Metadata) -> bool {
    let (owner, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let inherits = folder.mode() & SET_GROUP != 0 && folder.gid() == live.gid();
    let is_member = group == live.gid() || rights::groups().contains(&live.gid());
    if rights::gives_files_away() || inherits || is_member {
        return false;
    }
    let of_owner = if owner == live.uid() { 0 } else { live.mode() >> 6 };
    let beyond_others = (of_owner | live.mode() >> 3) & !live.mode() & 0o6;
    beyond_others != 0
}

fn mount_of(path: &Path) -> Result<u64> {
    stat::mount(path).on_path("cannot stat", path)
}
