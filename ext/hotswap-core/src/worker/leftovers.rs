//! The files that a worker keeps beside a database while it works, and how those of a dead one are told from
//! those of a living one.
//!
//! Every name begins with `.<database>.hotswap-`. A staged file is marked with a lock (`flock`) by its worker for
//! as long as that lives; a report socket answers for as long. So is the file that a pull is about to put in place,
//! `.hotswap-<random>.part`, by the command.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::protocol::Sidecar;

/// How the name of a staged file ends.
pub const STAGED: &str = ".staged";
const REPORT: &str = ".report";

/// How the name of a file begins that a pull is about to put in place.
const DRAFT_BEGINS: &str = ".hotswap-";
/// And how it ends.
const DRAFT_ENDS: &str = ".part";

/// The name of a file in `folder` that a pull is about to put in place.
pub fn draft(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{DRAFT_BEGINS}{id:016x}{DRAFT_ENDS}"))
}

/// How the names of all files of ours beside `database` begin.
pub fn prefix(database: &Path) -> String {
    format!(
        ".{}.hotswap-",
        database.file_name().unwrap_or_default().to_string_lossy()
    )
}

/// The name of the socket that takes reports about `database`.
pub fn report_name(database: &Path, id: u64) -> OsString {
    format!("{}{id:016x}{REPORT}", prefix(database)).into()
}

/// How the names of all files end that SQLite may put beside a database.
const SIDECARS: [&str; 3] = [Sidecar::Wal.suffix(), "-shm", Sidecar::Journal.suffix()];

/// Everything that SQLite may put beside a database file.
pub fn sidecars(path: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    SIDECARS.into_iter().map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// Removes a staged file with everything beside it, as far as it can.
pub fn remove_staged(staged: &Path) {
    sidecars(staged).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    drop(std::fs::remove_file(staged));
}

/// Marks a file as one whose maker lives, for as long as a descriptor of it is open. One that has been made a
/// moment ago may be gone after this: a sweeper had looked at it before.
pub fn mark(file: &File) -> io::Result<()> {
    loop {
        // A sweeper keeps the lock for as long as it takes to remove a file; nobody else asks for it.
        // SAFETY: takes no pointer, and the descriptor is open.
        let locked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
        match nix::errno::Errno::result(locked) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether there are files beside `database` that a dead worker may have left. Opens none of them.
pub fn suspected(database: &Path) -> bool {
    let prefix = prefix(database);
    names_in(database).any(|name| name.to_string_lossy().starts_with(&prefix))
}

/// Removes what dead workers left beside `database`. Returns the names.
pub fn sweep(database: &Path) -> Vec<OsString> {
    let prefix = prefix(database);
    names_in(database)
        .filter(|name| {
            let text = name.to_string_lossy();
            let path = database.with_file_name(name);
            text.starts_with(&prefix)
                && ((text.ends_with(STAGED) && remove_unmarked(&path))
                    || (is_orphan(&path) && std::fs::remove_file(&path).is_ok())
                    || (text.ends_with(REPORT) && is_deaf(&path) && std::fs::remove_file(&path).is_ok()))
        })
        .collect()
}

/// A line for the log about one of them.
pub fn removed(name: &OsStr) -> String {
    format!("removed {}, left by a push that died", name.to_string_lossy())
}

/// Removes what commands that were killed left beside the `target` of a pull.
pub fn sweep_drafts(target: &Path) {
    names_in(target)
        .filter(|name| {
            let text = name.to_string_lossy();
            text.starts_with(DRAFT_BEGINS) && text.ends_with(DRAFT_ENDS)
        })
        .for_each(|name| {
            remove_unmarked(&target.with_file_name(name));
        });
}

/// What lies in the folder of `path`; nothing where nobody may look.
fn names_in(path: &Path) -> impl Iterator<Item = OsString> {
    let entries = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
}

/// Removes a file whose maker is dead, under its mark: one that is being made stays, or its maker notices.
fn remove_unmarked(path: &Path) -> bool {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else {
        return false;
    };
    // SAFETY: takes no pointer, and the descriptor is open.
    let marked = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0;
    if marked {
        sidecars(path).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    }
    marked && std::fs::remove_file(path).is_ok()
}

/// Whether it lay beside a staged file that is gone: a disk that fails may let go of the one and not of the other.
/// A living worker makes it after that file, and removes it before.
fn is_orphan(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut staged = SIDECARS.iter().filter_map(|suffix| name.strip_suffix(suffix));
    staged.any(|staged| {
        staged.ends_with(STAGED) && matches!(path.with_file_name(staged).try_exists(), Ok(false))
    })
}

fn is_deaf(path: &Path) -> bool {
    let asked = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    matches!(asked, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, b"").unwrap();
            path
        };
        make(".live.sqlite3.hotswap-dead.staged");
        make(".live.sqlite3.hotswap-dead.staged-wal");
        drop(UnixDatagram::bind(folder.path().join(".live.sqlite3.hotswap-1.report")).unwrap());
        for suffix in SIDECARS {
            make(&format!(".live.sqlite3.hotswap-orphan.staged{suffix}"));
        }
        let living = make(".live.sqlite3.hotswap-living.staged");
        make(".live.sqlite3.hotswap-living.staged-wal");
        let marked = File::open(&living).unwrap();
        mark(&marked).unwrap();
        let listening = UnixDatagram::bind(folder.path().join(".live.sqlite3.hotswap-2.report")).unwrap();
        for kept in [
            "live.sqlite3",
            "live.sqlite3.hotswap",
            ".other.sqlite3.hotswap-dead.staged",
            "live.sqlite3-wal",
        ] {
            make(kept);
        }

        assert!(suspected(&database));
        assert_eq!(sweep(&database).len(), 5);
        assert!(!suspected(&folder.path().join("live")));

        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                ".live.sqlite3.hotswap-2.report",
                ".live.sqlite3.hotswap-living.staged",
                ".live.sqlite3.hotswap-living.staged-wal",
                ".other.sqlite3.hotswap-dead.staged",
                "live.sqlite3",
                "live.sqlite3-wal",
                "live.sqlite3.hotswap"
            ]
        );
        drop((marked, listening));
    }

    #[test]
    fn a_draft_of_a_dead_command_goes_and_one_of_a_living_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("backup.sqlite3");
        let (dead, living) = (draft(folder.path(), 1), draft(folder.path(), 2));
        std::fs::write(&dead, b"half").unwrap();
        let file = File::create(&living).unwrap();
        mark(&file).unwrap();
        sweep_drafts(&target);
        assert!(!dead.exists() && living.exists());
        drop(file);
        sweep_drafts(&target);
        assert!(!living.exists());
    }
}
