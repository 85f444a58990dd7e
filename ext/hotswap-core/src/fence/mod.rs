//! The fence: kernel locks, and not messages, decide which process may use a database.
//!
//! Next to each managed database lies a small file, `<database>.hotswap`. hotswap creates it once, and unlinks it only
//! after a failed push or a dry run, if there is no database. (Other programs may unlink it at any time, see
//! `member/fleets.rs`.) POSIX locks on it decide, so a process has let go when it dies, no matter how.
//!
//! | byte | shared | exclusive |
//! |---|---|---|
//! | 0 [`Lock::Fence`] | a member: "this process may have the database open" | the worker: "none has it open" |
//! | 1 [`Lock::Operation`] | - | a worker: one push at a time |
//! | 2 [`Lock::Straggler`] | a member: "work is running that must finish first" | the worker: "no such work is left" |
//! | 3 [`Lock::Objection`] | a member: "this process has opened the database past SQLite's locks" | - |
//!
//! The file contains the [`Board`], on which the worker posts its requests. The board is a hint: it decides nothing.
//!
//! POSIX locks belong to the process, and the kernel drops them when the process closes *any* descriptor of the
//! file. So a process opens its fence once and keeps it open. A forked child owns none of its parent's locks.

mod board;
mod file;
mod lock;
pub mod report;

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::error::{Context, Result};
use crate::leftovers;
use crate::sys::backup_disk;
use crate::sys::birth;
use crate::sys::identity::Identity;
use crate::sys::record_lock::Kind;
use crate::sys::thread::leave_signals_to_others;

pub use board::{Board, Phase};
use file::open_as_it_is;
pub(crate) use file::open_or_make;
pub use lock::{Lock, Tried};

/// The suffix of the fence file's name.
pub const SUFFIX: &str = ".hotswap";

/// The open fence file of one database. A process must have only one; the module documentation explains why.
#[derive(Debug)]
pub struct Fence {
    file: File,
    identity: Identity,
    database: PathBuf,
}

impl Fence {
    /// Opens the fence of `database` (its resolved path). If there is none, creates it with the owner and group of
    /// the database, for users who may write the database.
    pub fn open(database: &Path) -> Result<Self> {
        let path = path_of(database);
        let file = open_or_make(&path).on_path("cannot open the lock file", &path)?;
        let identity = Identity::of(&file.metadata().on_path("cannot stat", &path)?);
        let fence = Self {
            file,
            identity,
            database: database.to_owned(),
        };
        fence.adopt_owner_and_mode()?;
        Ok(fence)
    }

    /// Opens the fence of `database` (its resolved path) as it is. `None` if there is none: no process has joined yet.
    pub fn existing(database: &Path) -> Result<Option<Self>> {
        let path = path_of(database);
        let file = match open_as_it_is(&path) {
            Err(error) if leftovers::is_absent(&error) => return Ok(None),
            opened => opened.on_path("cannot open the lock file", &path)?,
        };
        let identity = Identity::of(&file.metadata().on_path("cannot stat", &path)?);
        Ok(Some(Self {
            file,
            identity,
            database: database.to_owned(),
        }))
    }

    /// The resolved path of the database behind this fence.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The identity of the fence file.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the path still leads to this file. It does not if the folder was restored or the file removed.
    pub fn is_in_place(&self) -> bool {
        identity_beside(&self.database) == Some(self.identity)
    }

    fn adopt_owner_and_mode(&self) -> Result<()> {
        let path = path_of(&self.database);
        let (Ok(database), fence) = (
            std::fs::metadata(&self.database),
            self.file.metadata().on_path("cannot stat", &path)?,
        ) else {
            // There is no database yet. The first worker that finds one adopts its owner and mode.
            let folder = self.database.parent().unwrap_or(Path::new("/"));
            return birth::give_to_owner_of(folder, &self.file).on_path("cannot set the owner of", &path);
        };
        let mode = mode_for(database.mode());
        if fence.mode() & 0o777 != mode {
            match self.file.set_permissions(Permissions::from_mode(mode)) {
                // Only the owner and root may set the mode, and some file systems choose it themselves.
                Err(error) if !backup_disk::cannot(&error) => {
                    return Err(error).on_path("cannot set the mode of", &path)
                }
                _ => {}
            }
        }
        if (fence.uid(), fence.gid()) != (database.uid(), database.gid()) {
            let give = |owner| std::os::unix::fs::fchown(&self.file, owner, Some(database.gid()));
            // Only root gives a file to another user; a member of a group can give it to the group. A process that
            // may do neither leaves the file as it is.
            let _ = give(Some(database.uid())).or_else(|_| give(None));
        }
        Ok(())
    }

    /// Tries to take a shared lock, without waiting.
    pub fn try_shared(&self, lock: Lock) -> Tried {
        lock::attempt(&self.file, lock, Kind::Shared)
    }

    /// Tries to take an exclusive lock, without waiting.
    pub fn try_exclusive(&self, lock: Lock) -> Tried {
        lock::attempt(&self.file, lock, Kind::Exclusive)
    }

    /// Releases a lock. Does nothing if this process does not hold it.
    pub fn unlock(&self, lock: Lock) {
        lock::release(&self.file, lock);
    }

    /// The process that keeps this one from locking `lock` exclusively: its pid (0 in another pid namespace), or
    /// `None`.
    pub fn holder(&self, lock: Lock) -> Option<i32> {
        lock::holder(&self.file, lock, Kind::Exclusive)
    }

    /// The process that holds `lock` exclusively, or `None`.
    pub fn exclusive_holder(&self, lock: Lock) -> Option<i32> {
        lock::holder(&self.file, lock, Kind::Shared)
    }

    /// The process whose shared `lock` keeps this one from locking it exclusively, or `None`.
    pub fn sharer(&self, lock: Lock) -> Option<i32> {
        lock::sharer(&self.file, lock)
    }

    /// The processes that hold any lock on the fence. The kernel does not list processes of another pid namespace
    /// here.
    pub fn holders(&self) -> Vec<u32> {
        lock::holders(self.identity)
    }

    /// Reads the board. An empty or damaged board counts as a quiet one.
    pub fn board(&self) -> Board {
        Board::read(&self.file)
    }

    /// Writes the board. Only the holder of [`Lock::Operation`] may do this.
    pub fn post(&self, board: &Board) -> Result<()> {
        board
            .write(&self.file)
            .on_path("cannot write the lock file", &path_of(&self.database))
    }

    /// Syncs the folder on behalf of a worker that died between its rename and its sync. That worker has reported
    /// nothing. Until the rename is durable, no process should rely on it or write to the board. A slow disk delays
    /// the caller by at most `bound`, and is synced all the same.
    pub fn finish_what_a_dead_worker_began(&self, bound: Duration) {
        let folder = self.database.parent().unwrap_or(Path::new("/")).to_owned();
        let (done, wait) = channel::<()>();
        let sync = move || {
            leave_signals_to_others();
            // Best effort: the folder was readable a moment ago, and an error leaves at worst what a power cut can
            // leave anyway.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
            drop(done);
        };
        if std::thread::Builder::new()
            .name("hotswap-sync".into())
            .spawn(sync)
            .is_ok()
        {
            // The thread drops the sender when it is done.
            let _ = wait.recv_timeout(bound);
        }
    }

    /// The open file, to watch it for posts.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// The mode of the fence next to a database of mode `database`: readable and writable for those who may write the
/// database. Members need both rights; a user who may only read could keep a lock that refuses every push.
fn mode_for(database: u32) -> u32 {
    let write = database & 0o222;
    write | write << 1 | 0o600
}

/// The identity of the fence next to `database` (its resolved path), if there is one.
pub fn identity_beside(database: &Path) -> Option<Identity> {
    std::fs::symlink_metadata(path_of(database))
        .ok()
        .map(|fence| Identity::of(&fence))
}

/// Removes the fence next to `database` (its resolved path) if a failed push or a dry run has left it there: the
/// database does not exist, no swap has ever created it, and no process holds a lock on the fence. If a process has
/// opened the fence but not locked it yet, it finds under its own lock that the fence is no longer in place.
pub fn remove_unused(database: &Path) {
    let is_missing = || matches!(database.try_exists(), Ok(false));
    if !is_missing() {
        return;
    }
    let Ok(Some(fence)) = Fence::existing(database) else {
        return;
    };
    let is_free = [Lock::Fence, Lock::Operation]
        .iter()
        .all(|lock| fence.try_exclusive(*lock).got());
    let board = fence.board();
    // Looks for the database again, now under the locks.
    if is_free && board.generation == 0 && !board.owns_versions && fence.is_in_place() && is_missing() {
        let _ = std::fs::remove_file(path_of(database));
    }
}

/// The path of a database's fence.
pub fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(SUFFIX);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fence_is_made_once_and_keeps_its_inode() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        std::fs::write(&database, b"x").unwrap();
        let fence_beside = |mode| {
            std::fs::set_permissions(&database, Permissions::from_mode(mode)).unwrap();
            Fence::open(&database).unwrap().file.metadata().unwrap()
        };
        let first = fence_beside(0o660);
        let second = fence_beside(0o660);
        assert_eq!(first.mode() & 0o777, 0o660);
        assert_eq!(first.ino(), second.ino());
    }

    #[test]
    fn the_fence_is_for_those_who_may_write_the_database_also_where_it_was_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        std::fs::write(&database, b"x").unwrap();
        for (mode, expected) in [
            (0o644, 0o600),
            (0o640, 0o600),
            (0o664, 0o660),
            (0o666, 0o666),
            (0o444, 0o600),
            (0o602, 0o606),
        ] {
            let fence = Fence::open(&database).unwrap();
            // An older version left this mode.
            fence.file.set_permissions(Permissions::from_mode(0o644)).unwrap();
            std::fs::set_permissions(&database, Permissions::from_mode(mode)).unwrap();
            let fence = Fence::open(&database).unwrap().file.metadata().unwrap();
            assert_eq!(fence.mode() & 0o777, expected, "beside {mode:o}");
        }
    }

    #[test]
    fn a_symlink_in_place_of_the_fence_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), path_of(&database)).unwrap();
        assert!(Fence::open(&database).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }
}
