//! The files that a worker keeps beside a database while it works, and how those of a dead one are told from
//! those of a living one.
//!
//! A staged file is `.<database>.hotswap-<random>.staged`, and marked with a lock (`flock`) by its worker for as long as
//! that lives. A report socket is `.hotswap-<id>.report`, and answers for as long. The file that a pull is about to put
//! in place is `.hotswap-<random>.part`, and marked by the command.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use crate::protocol::Sidecar;
use crate::server::address_of;
use crate::visible;

/// How the name of a staged file ends.
pub const STAGED: &str = ".staged";
const REPORT: &str = ".report";
/// How the name of a file ends that a pull is about to put in place.
const DRAFT: &str = ".part";

/// How a name begins that says nothing of a database, and what stands behind the database's in one that does.
const OURS: &str = ".hotswap-";
/// How much of a database's own name is in another one, in bytes: a name has 255 at most.
const OF_ITS_NAME: usize = 100;

/// The name of a file in `folder` that a pull is about to put in place.
pub fn draft(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{OURS}{id:016x}{DRAFT}"))
}

/// How the names of all staged files begin that belong to `database`. Databases with long names may share it, which harms
/// neither: a sweep removes what no living worker has marked.
pub fn prefix(database: &Path) -> String {
    let name = database.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(OF_ITS_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}{OURS}", &name[..end])
}

/// The name of the socket beside a database that takes reports. Short, because it is a part of the socket's address.
pub fn report_name(id: u64) -> OsString {
    format!("{OURS}{id:016x}{REPORT}").into()
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

/// Whether no file can be there: its name, with what SQLite appends to it, is longer than any may be.
pub fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENAMETOOLONG)
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

/// Whether there are files beside `databases` that a dead worker may have left. Opens none of them.
pub fn suspected(databases: &[PathBuf]) -> bool {
    !left_beside(databases).is_empty()
}

/// Removes what dead workers left beside `databases`. Returns the names.
pub fn sweep(databases: &[PathBuf]) -> Vec<OsString> {
    let removed = left_beside(databases).into_iter().filter(|path| {
        let text = path.to_string_lossy();
        (text.ends_with(STAGED) && remove_unmarked(path))
            || (is_orphan(path) && std::fs::remove_file(path).is_ok())
            || (text.ends_with(REPORT) && is_deaf(path) && std::fs::remove_file(path).is_ok())
    });
    removed
        .filter_map(|path| path.file_name().map(OsStr::to_owned))
        .collect()
}

/// The files of ours beside `databases`, of the dead and of the living. Looks into each folder once: an application may
/// have a thousand databases in one.
fn left_beside(databases: &[PathBuf]) -> Vec<PathBuf> {
    let prefixes: HashSet<_> = databases.iter().map(|one| (one.parent(), prefix(one))).collect();
    let folders: BTreeSet<_> = databases.iter().filter_map(|one| one.parent()).collect();
    let ours = |folder: &Path, name: &OsStr| {
        let name = name.to_string_lossy();
        let begin = name.rfind(OURS).map(|at| &name[..at + OURS.len()]);
        begin.is_some_and(|begin| {
            (begin == OURS && name.ends_with(REPORT)) || prefixes.contains(&(Some(folder), begin.to_owned()))
        })
    };
    let left = folders.into_iter().flat_map(|folder| {
        let names = names_in(folder).filter(move |name| ours(folder, name));
        names.map(move |name| folder.join(name))
    });
    left.collect()
}

/// A line for the log about one of them.
pub fn removed(name: &OsStr) -> String {
    format!(
        "removed {}, left by a push that died",
        visible::line(name.as_bytes())
    )
}

/// Removes what commands that were killed left beside the `target` of a pull.
pub fn sweep_drafts(target: &Path) {
    names_in(target.parent().unwrap_or(Path::new("/")))
        .filter(|name| {
            let text = name.to_string_lossy();
            text.starts_with(OURS) && text.ends_with(DRAFT)
        })
        .for_each(|name| {
            remove_unmarked(&target.with_file_name(name));
        });
}

/// What lies in `folder`; nothing where this user may not look.
fn names_in(folder: &Path) -> impl Iterator<Item = OsString> {
    std::fs::read_dir(folder)
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
    let asked = address_of(path).and_then(|(_socket, address)| UnixDatagram::unbound()?.connect(address));
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
        drop(UnixDatagram::bind(folder.path().join(report_name(1))).unwrap());
        // Of a version before this one.
        drop(UnixDatagram::bind(folder.path().join(".live.sqlite3.hotswap-3.report")).unwrap());
        for suffix in SIDECARS {
            make(&format!(".live.sqlite3.hotswap-orphan.staged{suffix}"));
        }
        let living = make(".live.sqlite3.hotswap-living.staged");
        make(".live.sqlite3.hotswap-living.staged-wal");
        let marked = File::open(&living).unwrap();
        mark(&marked).unwrap();
        let listening = UnixDatagram::bind(folder.path().join(report_name(2))).unwrap();
        for kept in [
            "live.sqlite3",
            "live.sqlite3.hotswap",
            ".other.sqlite3.hotswap-dead.staged",
            "live.sqlite3-wal",
        ] {
            make(kept);
        }

        let databases = [database];
        assert!(suspected(&databases));
        assert_eq!(sweep(&databases).len(), 6);

        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                ".hotswap-0000000000000002.report",
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
    fn a_staged_file_leaves_room_in_its_name_however_long_that_of_the_database_is() {
        for name in ["n".repeat(247), "é".repeat(123), "n".repeat(99) + "é"] {
            let begin = prefix(Path::new(&name));
            assert!(
                begin.len() < 120 && begin.starts_with(&format!(".{}", &name[..98])),
                "{begin}"
            );
        }
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
