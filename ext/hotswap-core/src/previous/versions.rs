//! The versions in their places: which of them there are, and which of them stay.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::names::{numbers, path_of, SUFFIX};
use crate::error::{Busy, Context, Refused, Result};
use crate::leftovers;
use crate::record::{self, Kept};
use crate::sidecar::sidecars;

/// What is added to the name of a file that is not hotswap's.
const FOREIGN: &str = ".foreign";

/// The path of the version with this number. Refuses what is no regular file: SQLite would follow a link and wait for
/// a pipe.
pub(crate) fn require(database: &Path, number: u32, label: &str) -> Result<PathBuf> {
    let version = path_of(database, number);
    match std::fs::symlink_metadata(&version) {
        Ok(metadata) if metadata.is_file() => Ok(version),
        Ok(_) => Err(Refused::VersionIsNoFile { version }.into()),
        Err(error) if !leftovers::is_absent(&error) => Err(error).on_path("cannot stat", &version),
        Err(_) if !leftovers::hidden(database).is_empty() => Err(Busy::VersionHidden { version }.into()),
        Err(_) => Err(Refused::NoVersion {
            database: label.into(),
            version,
            others: numbers(database),
        }
        .into()),
    }
}

/// Makes the file at `from` the newest version of `database`. The others move down, as far as the first free place.
pub(crate) fn put_first(from: &Path, database: &Path) -> io::Result<()> {
    let free = (1..)
        .find(|number| !exists(&path_of(database, *number)))
        .unwrap_or(u32::MAX);
    for number in (1..free).rev() {
        move_version(&path_of(database, number), &path_of(database, number + 1))?;
    }
    let first = path_of(database, 1);
    // What SQLite left there belongs to a version that is gone.
    sidecars(&first).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    std::fs::rename(from, first)
}

/// Moves what lies next to the version first. If this ends in between, the next attempt brings both together again.
fn move_version(from: &Path, to: &Path) -> io::Result<()> {
    for (beside, there) in sidecars(from).zip(sidecars(to)) {
        match std::fs::rename(beside, there) {
            Err(error) if !leftovers::is_absent(&error) => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(from, to)
}

/// Whether the names of versions are hotswap's own: it has kept a version, or has set aside what was there before. So a
/// record that cannot be written makes it set files aside only once.
fn owns_names(database: &Path) -> bool {
    let own = database.file_name().unwrap_or_default().as_bytes();
    let is_aside = |name: &OsStr| {
        let rest = name.as_bytes().strip_prefix(own);
        rest.and_then(|rest| rest.strip_prefix(SUFFIX.as_bytes()))
            .is_some_and(|rest| rest.ends_with(FOREIGN.as_bytes()))
    };
    !record::kept(database).is_empty()
        || leftovers::names_in(database.parent().unwrap_or(Path::new("/"))).any(|name| is_aside(&name))
}

/// Removes the versions beyond the newest `keep`. Returns their paths. Before hotswap has kept a version, files of such
/// names are not its own, so they stay. `is_own`: the board says that hotswap has kept one.
pub(crate) fn trim(database: &Path, keep: u32, is_own: bool) -> io::Result<Vec<PathBuf>> {
    let excess: Vec<_> = numbers(database).into_iter().skip(keep as usize).collect();
    if excess.is_empty() || !(is_own || owns_names(database)) {
        return Ok(Vec::new());
    }
    excess
        .into_iter()
        .map(|number| remove(database, number))
        .collect()
}

/// Removes the oldest version. Returns its path and its length, or `None` if there is none that hotswap has kept.
pub(crate) fn remove_oldest(database: &Path) -> io::Result<Option<(PathBuf, u64)>> {
    let oldest = numbers(database).pop();
    let Some(number) = oldest.filter(|_| owns_names(database)) else {
        return Ok(None);
    };
    let length = std::fs::metadata(path_of(database, number))?.len();
    remove(database, number).map(|path| Some((path, length)))
}

/// Before hotswap keeps its first version: moves files that have the names of versions aside, because another program
/// has put them there. Returns their new paths.
pub(crate) fn set_foreign_aside(database: &Path) -> io::Result<Vec<PathBuf>> {
    let numbers = numbers(database);
    if numbers.is_empty() || owns_names(database) {
        return Ok(Vec::new());
    }
    let aside = numbers.into_iter().map(|number| {
        let from = path_of(database, number);
        let mut to = from.clone().into_os_string();
        to.push(FOREIGN);
        let to = PathBuf::from(to);
        move_version(&from, &to).map(|()| to)
    });
    aside.collect()
}

pub(super) fn remove(database: &Path, number: u32) -> io::Result<PathBuf> {
    let path = path_of(database, number);
    std::fs::remove_file(&path)?;
    sidecars(&path).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    Ok(path)
}

/// The length and the time of the last write of a version, by which the record recognizes it.
pub(crate) fn mark_of(path: &Path) -> io::Result<Kept> {
    std::fs::symlink_metadata(path).map(|metadata| mark_in(&metadata))
}

pub(super) fn mark_in(metadata: &std::fs::Metadata) -> Kept {
    Kept {
        bytes: metadata.len(),
        mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
    }
}

pub(super) fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::previous::testing::{pairs, Folder};
    use crate::previous::Hidden;

    #[test]
    fn the_newest_version_comes_first_and_the_oldest_go() {
        let folder = Folder::new();
        ["a", "b", "c"]
            .into_iter()
            .for_each(|content| folder.keep(content));
        assert_eq!(folder.contents(), pairs(&[(1, "c"), (2, "b"), (3, "a")]));
        let third = path_of(&folder.database, 3);
        assert_eq!(trim(&folder.database, 2, false).unwrap(), [] as [PathBuf; 0]);
        assert_eq!(remove_oldest(&folder.database).unwrap(), None);
        folder.keep_in_record();
        assert_eq!(trim(&folder.database, 2, false).unwrap(), [third]);
        assert_eq!(trim(&folder.database, 2, false).unwrap(), [] as [PathBuf; 0]);
        let second = path_of(&folder.database, 2);
        assert_eq!(remove_oldest(&folder.database).unwrap(), Some((second, 1)));
        assert_eq!(folder.contents(), pairs(&[(1, "c")]));
    }

    #[test]
    fn files_of_another_program_go_aside_before_the_first_version_is_kept() {
        let folder = Folder::new();
        ["a", "b"].into_iter().for_each(|content| folder.keep(content));
        let aside = set_foreign_aside(&folder.database).unwrap();
        assert_eq!(folder.contents(), []);
        let name = |name: &str| folder.database.with_file_name(name);
        assert_eq!(
            aside,
            [
                name("live.sqlite3.previous.foreign"),
                name("live.sqlite3.previous.2.foreign")
            ]
        );
        assert_eq!(std::fs::read_to_string(&aside[0]).unwrap(), "b");
        folder.keep("c");
        folder.keep_in_record();
        assert_eq!(set_foreign_aside(&folder.database).unwrap(), [] as [PathBuf; 0]);
        assert_eq!(folder.contents(), pairs(&[(1, "c")]));
    }

    #[test]
    fn what_sqlite_put_beside_a_version_moves_with_it_and_meets_no_other() {
        let folder = Folder::new();
        folder.keep("a");
        std::fs::write(
            folder.folder.path().join("live.sqlite3.previous-wal"),
            "rows of a",
        )
        .unwrap();
        folder.keep("b");
        assert!(!folder.folder.path().join("live.sqlite3.previous-wal").exists());
        let moved = std::fs::read(folder.folder.path().join("live.sqlite3.previous.2-wal"));
        assert_eq!(moved.unwrap(), b"rows of a");
    }

    #[test]
    fn only_a_regular_file_is_a_version() {
        let folder = Folder::new();
        let refused = |what: &str| {
            let why = require(&folder.database, 1, "live.sqlite3")
                .unwrap_err()
                .to_string();
            assert!(why.contains(what), "{why}");
        };
        refused("there is no previous version");
        let hidden = Hidden::link(&folder.database).unwrap();
        refused("a rollback is under way");
        drop(hidden);
        let version = path_of(&folder.database, 1);
        std::os::unix::fs::symlink(&folder.database, &version).unwrap();
        refused("is not a regular file");
        std::fs::remove_file(&version).unwrap();
        nix::unistd::mkfifo(&version, nix::sys::stat::Mode::S_IRWXU).unwrap();
        refused("is not a regular file");
        std::fs::remove_file(&version).unwrap();
        folder.keep("a");
        assert_eq!(require(&folder.database, 1, "live.sqlite3").unwrap(), version);
    }
}
