//! What can be checked before a byte is sent: whether a push can create its files beside the live database, and
//! whether the database can be replaced at all.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::attributes;
use super::{processes, statx};
use crate::error::{Context, Error, Result};
use crate::fence::{self, Fence, Lock};
use crate::visible::Shown;

/// Why a file cannot take the place of the live one: the rename cannot work, or it would leave other names behind.
/// The text completes "it ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
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
                "belongs to another user, and lies in a folder with the sticky bit, where only its owner replaces it",
            ),
            Obstacle::Ownership { uid, gid } => write!(
                out,
                "belongs to user {uid} and group {gid}, to whom the application may not give a new file; they would lose \
                 their access to the database"
            ),
        }
    }
}

impl Obstacle {
    /// Looks for an obstacle. Returns `None` if there is no file yet.
    pub fn of(path: &Path) -> Result<Option<Self>> {
        let live = match std::fs::symlink_metadata(path) {
            Ok(live) => live,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).on_path("cannot stat", path),
        };
        if !live.is_file() {
            return Err(Error::Refused(format!("{} is not a regular file", path.shown())));
        }
        let folder = path.parent().unwrap_or(Path::new("/"));
        let about_folder = std::fs::metadata(folder).on_path("cannot stat", folder)?;
        Ok(if mount_of(path)? != mount_of(folder)? {
            Some(Obstacle::SingleFileMount)
        } else if live.nlink() > 1 {
            Some(Obstacle::HardLinks(live.nlink()))
        } else if keeps_others_out(&about_folder, &live) {
            Some(Obstacle::StickyFolder)
        } else if takes_access_away(&about_folder, &live) {
            Some(Obstacle::Ownership {
                uid: live.uid(),
                gid: live.gid(),
            })
        } else {
            None
        })
    }

    /// The last check, under the lock: another name or a mount may have appeared since the first one.
    pub fn require_none(path: &Path) -> Result<()> {
        match Self::of(path)? {
            None => Ok(()),
            Some(obstacle) => Err(Error::Busy(format!(
                "{} {obstacle}. It was not so when the push began. Nothing was swapped; copy again",
                path.shown()
            ))),
        }
    }

    /// The refusal for `--in-place=never`.
    pub fn refusal(self, path: &Path) -> Error {
        let cure = match self {
            Obstacle::HardLinks(_) => "Remove them first",
            Obstacle::SingleFileMount => "Mount its folder instead",
            Obstacle::StickyFolder => {
                "Take the sticky bit from the folder, or run the application as the file's owner"
            }
            Obstacle::Ownership { .. } => {
                "Run the application as the file's owner, or as a member of the file's group"
            }
        };
        Error::Refused(format!(
            "{} {self}. {cure}, or leave out --in-place=never",
            path.shown()
        ))
    }
}

/// Opens the fence of `live`, or refuses.
///
/// Without the fence hotswap cannot ask a process to let go. If the fence cannot be created, neither can the staged
/// file or SQLite's journal, so writing in place would not work either.
pub fn open_fence(live: &Path) -> Result<Fence> {
    Fence::open(live).map_err(|error| no_place_beside(live, error))
}

/// Refuses a push that another program could hold up for ever, or could write past. The error names the process.
pub fn require_locks(fence: &Fence) -> Result<()> {
    require_members_alone(fence)?;
    require_no_objection(fence)
}

/// Refuses a database that a process has opened without SQLite's locks: neither a push nor a pull can wait for its
/// writes. The error names the process.
pub fn require_no_objection(fence: &Fence) -> Result<()> {
    let Some(pid) = fence.holder(Lock::Objection) else {
        return Ok(());
    };
    Err(Error::Refused(format!(
        "{} has opened {} with nolock, immutable or a vfs in its name, so SQLite's locks do not protect the database from it. \
         Take that out, restart the process, and copy again",
        processes::name(pid as u32),
        fence.database().shown()
    )))
}

/// Refuses if a process holds a lock on the fence, but its user may only read the database. Such a process is no
/// member and never releases the lock. It took the lock when an older version of hotswap let others read the fence,
/// and cannot take it again.
fn require_members_alone(fence: &Fence) -> Result<()> {
    let path = fence::path_of(fence.database());
    let metadata = fence.file().metadata().on_path("cannot stat", &path)?;
    // The mode does not show what an access control list allows.
    if attributes::has_access_list(fence.file()) {
        return Ok(());
    }
    let mut holders = fence.holders().into_iter();
    let Some((pid, user)) = holders.find_map(|pid| Some((pid, reader(pid, &metadata)?))) else {
        return Ok(());
    };
    Err(Error::Refused(format!(
        "{} holds a lock on {}, and its user (uid {user}) may only read the database. End that process and copy again. After a \
         restart it can no longer take the lock",
        processes::name(pid),
        path.shown()
    )))
}

/// The bit of the capability that overrides file modes, from `linux/capability.h`.
const CAP_DAC_OVERRIDE: u64 = 1 << 1;

/// The user of the process, if that user may not write `file`.
fn reader(pid: u32, file: &Metadata) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = |name: &str| -> Option<Vec<u32>> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_whitespace().filter_map(|id| id.parse().ok()).collect())
    };
    // The fourth number is the id that the kernel uses for file access.
    let (user, group) = (*numbers("Uid:")?.get(3)?, *numbers("Gid:")?.get(3)?);
    let is_member = group == file.gid() || numbers("Groups:")?.contains(&file.gid());
    let class = match (user == file.uid(), is_member) {
        (true, _) => 6,
        (false, true) => 3,
        (false, false) => 0,
    };
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let capabilities = u64::from_str_radix(capabilities.trim(), 16).ok()?;
    let ignores_modes = user == 0 || capabilities & CAP_DAC_OVERRIDE != 0;
    (!ignores_modes && file.mode() >> class & 0o2 == 0).then_some(user)
}

/// The refusal if `error` says that this user may not create or write a file beside `live`.
pub fn no_place_beside(live: &Path, error: Error) -> Error {
    let forbidden = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    match &error {
        Error::Io { source, .. } if forbidden.contains(&source.kind()) => {}
        _ => return error,
    }
    let fence = fence::path_of(live);
    let cure = if fence.exists() && nix::unistd::access(&fence, nix::unistd::AccessFlags::W_OK).is_err() {
        format!("Give {} the owner and the mode of the database", fence.shown())
    } else {
        let folder = live.parent().unwrap_or(Path::new("/"));
        format!(
            "Let the application write into {}, or mount it so",
            folder.shown()
        )
    };
    Error::Refused(format!(
        "{error}. A push needs files beside the database: the new content, and the fence, by which the application lets \
         go of the old one. {cure}, and copy again. Copying out of the database works as it is"
    ))
}

/// The refusal of a live file that can be opened only for reading.
pub fn not_writable(live: &Path) -> Error {
    let allowed = nix::unistd::access(live, nix::unistd::AccessFlags::W_OK).is_ok();
    let cure = if allowed {
        "Its mode allows that, but its folder has the sticky bit, and the system protects what is somebody else's there \
         (fs.protected_regular). Take the bit from the folder, or run the application as the file's owner"
    } else {
        "Let the application write into it, or run the application as its owner"
    };
    Error::Refused(format!(
        "{} can be opened for reading only, so nobody can be kept out while it is replaced. {cure}, and copy again. \
         Copying out of the database works as it is",
        live.shown()
    ))
}

fn keeps_others_out(folder: &Metadata, live: &Metadata) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    folder.mode() & libc::S_ISVTX != 0 && ![folder.uid(), live.uid()].contains(&own) && !has(CAP_FOWNER)
}

/// Whether a new file would be out of reach for users who can reach the live one. A new file with the live one's
/// group is not: several users share a database through that group.
fn takes_access_away(folder: &Metadata, live: &Metadata) -> bool {
    let (owner, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let inherits = folder.mode() & libc::S_ISGID != 0 && folder.gid() == live.gid();
    let is_member = group == live.gid()
        || nix::unistd::getgroups()
            .is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == live.gid()));
    if has(CAP_CHOWN) || inherits || is_member {
        return false;
    }
    let of_owner = if owner == live.uid() { 0 } else { live.mode() >> 6 };
    let beyond_others = (of_owner | live.mode() >> 3) & !live.mode() & 0o6;
    beyond_others != 0
}

const CAP_CHOWN: u64 = 1 << 0;
const CAP_FOWNER: u64 = 1 << 3;

/// Whether this process has a capability. Root in a container may lack it.
fn has(capability: u64) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    effective.is_some_and(|capabilities| capabilities & capability != 0)
}

fn mount_of(path: &Path) -> Result<u64> {
    statx::mount(path).on_path("cannot stat", path)
}
