//! The files that a worker keeps next to a database while it works, and how to tell those of a dead worker from those
//! of a living one.
//!
//! A staged file is `.<database>.hotswap-<random>.staged`. Its worker holds a lock on it for as long as the worker
//! lives. A report socket is `.hotswap-<id>.report`, and accepts datagrams for as long. The file that a
//! pull is about to put in place is `.hotswap-<random>.part`, and the command holds a lock on it.
//!
//! A version of a database that moves to or from its [place](crate::previous) is `.<database>.hotswap-<random><hash of
//! the database's name>.kept`. It may be the only name of that content, so no sweep removes it.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::sidecar::{sidecars, SUFFIXES};
use crate::sys::locks;
use crate::sys::random;
use crate::sys::socket::Address;
use crate::visible;

/// The suffix of a staged file.
pub(crate) const STAGED: &str = ".staged";
const REPORT: &str = ".report";
/// The suffix of the file that a pull is about to put in place.
const DRAFT: &str = ".part";

/// The suffix of a version on its way.
const KEPT: &str = ".kept";

/// The start of a name that does not contain the database's name. Otherwise it follows the database's name.
const OURS: &str = ".hotswap-";
/// The maximum length of a database's name inside another name, in bytes. The kernel allows 255 for the whole name.
const OF_ITS_NAME: usize = 100;

/// The name of the file in `folder` that a pull is about to put in place.
pub(crate) fn draft(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{OURS}{id:016x}{DRAFT}"))
}

/// The common prefix of all staged files of `database`. Databases with long names may share it, which does no harm:
/// a sweep removes only files that no living worker has locked.
pub(crate) fn prefix(database: &Path) -> String {
    let name = database.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(OF_ITS_NAME);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!(".{}{OURS}", &name[..end])
}

/// A new name for a version of `database` on its way.
pub(crate) fn hidden_name(database: &Path) -> io::Result<PathBuf> {
    let random = random::number().map_err(io::Error::other)?;
    let name = format!("{}{random:016x}{}", prefix(database), hidden_suffix(database));
    Ok(database.with_file_name(name))
}

/// The versions of `database` that are on their way, or that a dead worker left there.
pub(crate) fn hidden(database: &Path) -> Vec<PathBuf> {
    let (begin, end) = (prefix(database), hidden_suffix(database));
    names_in(database.parent().unwrap_or(Path::new("/")))
        .filter(|name| {
            let name = name.to_string_lossy();
            name.starts_with(&begin) && name.ends_with(&end)
        })
        .map(|name| database.with_file_name(name))
        .collect()
}

/// Whether `path` is the name of a version on its way, of any database.
fn is_hidden(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(KEPT.as_bytes())
}

/// Distinguishes databases that share a [`prefix`], because a version must not become that of another database.
fn hidden_suffix(database: &Path) -> String {
    let name = database.file_name().unwrap_or_default();
    format!("{:016x}{KEPT}", xxh3_64(name.as_bytes()))
}

/// The name of the report socket next to a database. It is short, because a socket address has little room.
pub(crate) fn report_name(id: u64) -> OsString {
    format!("{OURS}{id:016x}{REPORT}").into()
}

/// Whether `error` means that there is no such file. Its name, with SQLite's suffix, may be too long to exist.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENAMETOOLONG)
}

/// Removes a staged file and all files next to it, as far as possible. Leaves a version that was to be swapped in: it
/// may be the only copy, and the next worker puts it back.
pub(crate) fn remove_staged(staged: &Path) {
    if is_hidden(staged) {
        return;
    }
    sidecars(staged).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    drop(std::fs::remove_file(staged));
}

/// Marks a file, which must be open for writing, as one whose maker lives, for as long as a descriptor of it is open. A
/// file that was made a moment ago may be gone afterwards, if a sweeper had looked at it before.
pub(crate) fn mark(file: &File) -> io::Result<()> {
    // Only a sweeper is in the way, for as long as it takes to remove a file.
    locks::mark(file)
}

/// Whether `folder` has a file that a worker may have left there, or a symlink. A symlink may lead to a database in
/// another folder, and a worker leaves its files next to that database. Does not compare the files with the databases
/// of the application.
pub(crate) fn may_be_near(folder: &Path) -> bool {
    let mut entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| {
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        is_link || entry.file_name().to_string_lossy().contains(OURS)
    })
}

/// Whether a dead worker may have left files next to `databases`. Opens none of them.
pub(crate) fn suspected(databases: &[PathBuf]) -> bool {
    !left_beside(databases).is_empty()
}

/// Removes the files that dead workers left next to `databases`. Returns their names.
pub(crate) fn sweep(databases: &[PathBuf]) -> Vec<OsString> {
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

/// hotswap's files next to `databases`, of dead and of living workers. Reads each folder once, because an application
/// may have a thousand databases in one.
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

/// The log line about a removed file.
pub(crate) fn removed(name: &OsStr) -> String {
    format!(
        "removed {}, left by a push that died",
        visible::line(name.as_bytes())
    )
}

/// Removes the files that killed commands left next to the `target` of a pull.
pub(crate) fn sweep_drafts(target: &Path) {
    names_in(target.parent().unwrap_or(Path::new("/")))
        .filter(|name| {
            let text = name.to_string_lossy();
            text.starts_with(OURS) && text.ends_with(DRAFT)
        })
        .for_each(|name| {
            remove_unmarked(&target.with_file_name(name));
        });
}

/// The names in `folder`, or nothing if this user may not list it.
pub(crate) fn names_in(folder: &Path) -> impl Iterator<Item = OsString> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name())
}

/// The databases in `folder` next to which there are such files.
pub(crate) fn databases_in(folder: &Path) -> BTreeSet<PathBuf> {
    let database = |name: OsString| {
        let name = name.to_str()?.strip_prefix('.')?;
        let end = name.rfind(OURS).filter(|end| *end > 0)?;
        Some(folder.join(&name[..end]))
    };
    names_in(folder).filter_map(database).collect()
}

/// Removes a file whose maker is dead. Takes the lock first: a file that is being made stays, or its maker notices
/// that it is gone.
fn remove_unmarked(path: &Path) -> bool {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else {
        return false;
    };
    let unmarked = locks::keep_unmarked(&file);
    if unmarked {
        sidecars(path).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    }
    unmarked && std::fs::remove_file(path).is_ok()
}

/// Whether the file belonged to a staged file that is gone: on a failing disk one may be removed and the other not.
/// A living worker makes such a file after the staged file, and removes it before.
fn is_orphan(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut staged = SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
    staged.any(|staged| {
        staged.ends_with(STAGED) && matches!(path.with_file_name(staged).try_exists(), Ok(false))
    })
}

fn is_deaf(path: &Path) -> bool {
    let asked = Address::of(path).and_then(|address| UnixDatagram::unbound()?.connect(&address));
    matches!(asked, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::record_lock::{try_lock, Bytes, Kind};
    use crate::testing::eventually;

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
        // The second is the name that an older version used.
        for name in [report_name(1), ".live.sqlite3.hotswap-3.report".into()] {
            let report = folder.path().join(name);
            drop(UnixDatagram::bind(&report).unwrap());
            eventually(|| is_deaf(&report));
        }
        for suffix in SUFFIXES {
            make(&format!(".live.sqlite3.hotswap-orphan.staged{suffix}"));
        }
        let living = make(".live.sqlite3.hotswap-living.staged");
        make(".live.sqlite3.hotswap-living.staged-wal");
        let marked = OpenOptions::new().write(true).open(&living).unwrap();
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
    fn sqlite_can_lock_a_marked_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        mark(file.as_file()).unwrap();
        // The bytes that SQLite locks.
        let bytes = Bytes {
            start: 1 << 30,
            length: 512,
        };
        try_lock(file.reopen().unwrap(), Kind::Exclusive, bytes).unwrap();
        let sweeper = File::open(file.path()).unwrap();
        assert!(!locks::keep_unmarked(&sweeper));
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
        eventually(|| {
            sweep_drafts(&target);
            !living.exists()
        });
    }
}
