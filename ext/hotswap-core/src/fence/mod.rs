//! The fence: who may use a database is a kernel lock, not a message.
//!
//! Beside each managed database lies a small file, `<database>.hotswap`. We create it once and never unlink it (others do,
//! see `member/fleets.rs`). The kernel's POSIX locks on it decide, so a process that dies, however it dies, has let go.
//!
//! | byte | shared | exclusive |
//! |---|---|---|
//! | 0 [`Lock::Fence`] | a member: "this process may have the database open" | the worker: "nobody has, the file may move" |
//! | 1 [`Lock::Operation`] | - | a worker: one push at a time |
//! | 2 [`Lock::Straggler`] | a member: "work is running that the swap must let finish" | the worker: "nothing of the kind is left" |
//! | 3 [`Lock::Objection`] | a member: "this process has opened the database past SQLite's locks" | - |
//!
//! Its content is the [`Board`], on which the worker says what it wants. The board is a hint: nothing is
//! decided by it.
//!
//! POSIX locks belong to the process and are dropped when *any* descriptor of the file is closed in it, so a
//! process opens its fence once and keeps it. A forked child owns none of its parent's locks.

mod board;
mod file;
mod lock;

use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

pub use board::{Board, Phase};
pub(crate) use file::open_or_make;
pub use lock::{Lock, Tried};

use crate::backup_disk;
use crate::error::{Context, Result};
use crate::protocol::Identity;
use crate::signal::leave_signals_to_others;

/// The suffix of the fence file's name.
pub const SUFFIX: &str = ".hotswap";

/// The open fence file of one database. One in a process; see the module.
#[derive(Debug)]
pub struct Fence {
    file: File,
    identity: Identity,
    database: PathBuf,
}

impl Fence {
    /// Opens the fence of `database` (its resolved path), and creates it where there is none, with the owner and the
    /// group of the database, for those who may write the database.
    pub fn open(database: &Path) -> Result<Self> {
        let path = path_of(database);
        let file = open_or_make(&path).on_path("cannot open the fence file", &path)?;
        let identity = Identity::of(&file.metadata().on_path("cannot stat", &path)?);
        let fence = Self {
            file,
            identity,
            database: database.to_owned(),
        };
        fence.adopt_owner_and_mode()?;
        Ok(fence)
    }

    /// The resolved path of the database behind this fence.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// Which file it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the path still leads to this file. It does not when the folder was restored, or the file removed.
    pub fn is_in_place(&self) -> bool {
        identity_beside(&self.database) == Some(self.identity)
    }

    fn adopt_owner_and_mode(&self) -> Result<()> {
        let path = path_of(&self.database);
        let (Ok(database), fence) = (
            std::fs::metadata(&self.database),
            self.file.metadata().on_path("cannot stat", &path)?,
        ) else {
            return Ok(()); // No database yet: the first worker that meets one adopts.
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
            // Only root gives a file to another user; a member of a group gives it to the group. Who may do neither leaves
            // it as it is.
            let _ = give(Some(database.uid())).or_else(|_| give(None));
        }
        Ok(())
    }

    /// Tries to take a lock, shared or exclusive, without waiting.
    pub fn try_shared(&self, lock: Lock) -> Tried {
        lock::attempt(&self.file, lock, libc::F_RDLCK)
    }

    /// The same, exclusive.
    pub fn try_exclusive(&self, lock: Lock) -> Tried {
        lock::attempt(&self.file, lock, libc::F_WRLCK)
    }

    /// Lets go of a lock. Letting go of one that is not held does nothing.
    pub fn unlock(&self, lock: Lock) {
        lock::release(&self.file, lock);
    }

    /// The process that keeps us from holding `lock` exclusively: its pid (0 in another pid namespace), or
    /// nobody.
    pub fn holder(&self, lock: Lock) -> Option<i32> {
        lock::holder(&self.file, lock, libc::F_WRLCK)
    }

    /// The process that holds `lock` exclusively, or nobody.
    pub fn exclusive_holder(&self, lock: Lock) -> Option<i32> {
        lock::holder(&self.file, lock, libc::F_RDLCK)
    }

    /// The processes that hold any lock on the fence. The kernel does not list processes of another pid namespace here.
    pub fn holders(&self) -> Vec<u32> {
        lock::holders(self.identity)
    }

    /// What stands on the board. An empty or damaged board reads as a quiet one.
    pub fn board(&self) -> Board {
        Board::read(&self.file)
    }

    /// Writes the board. Only the holder of [`Lock::Operation`] may.
    pub fn post(&self, board: &Board) -> Result<()> {
        board
            .write(&self.file)
            .on_path("cannot write the fence file", &path_of(&self.database))
    }

    /// Syncs the folder for a worker that died between its rename and this. It has reported nothing, and nobody should
    /// build on the rename, or write something else on the board, before it is sure to last. A disk that is slow keeps
    /// the caller for `bound` only, and is synced all the same.
    pub fn finish_what_a_dead_worker_began(&self, bound: Duration) {
        let folder = self.database.parent().unwrap_or(Path::new("/")).to_owned();
        let (done, wait) = channel::<()>();
        let sync = move || {
            leave_signals_to_others();
            // Best effort: the folder was readable a moment ago, and the worst case is what a power cut brings anyway.
            let _ = File::open(folder).and_then(|folder| folder.sync_all());
            drop(done);
        };
        if std::thread::Builder::new()
            .name("hotswap-sync".into())
            .spawn(sync)
            .is_ok()
        {
            // Its end is the sender being dropped.
            let _ = wait.recv_timeout(bound);
        }
    }

    /// The descriptor, to watch for posts.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// The mode of the fence beside a database of mode `database`: readable and writable for those who may write the
/// database. Members need both rights; a user who may only read could keep a lock that refuses every push.
fn mode_for(database: u32) -> u32 {
    let write = database & 0o222;
    write | write << 1 | 0o600
}

/// Which fence lies beside `database` (its resolved path), if there is one.
pub fn identity_beside(database: &Path) -> Option<Identity> {
    std::fs::symlink_metadata(path_of(database))
        .ok()
        .map(|fence| Identity::of(&fence))
}

/// Where the fence of a database lies.
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
            // As a version before this one left it.
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
