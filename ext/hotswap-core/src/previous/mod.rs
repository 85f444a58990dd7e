//! The previous versions of a database, which hotswap keeps beside it: `<database>.previous` is the newest one, then
//! come `<database>.previous.2`, `<database>.previous.3`, …
//!
//! While a version moves from the live path to this place or back, it has a [hidden name](leftovers::hidden_name). A
//! worker that dies leaves it there. The next worker that holds the operation lock [recovers](recover) it. Only that
//! lock allows to move or to remove a version.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Busy, Context, Refused, Result};
use crate::leftovers;
use crate::record::{self, Kept};
use crate::sidecar::{sidecars, SUFFIXES};
use crate::sys::identity::Identity;
use crate::visible::Shown;

/// What follows the database's name in the name of the newest version.
pub(crate) const SUFFIX: &str = ".previous";
/// What is added to the name of a file that is not hotswap's.
const FOREIGN: &str = ".foreign";
/// The longest name of a database that leaves room for the names of its versions and of the files beside them.
const LONGEST_NAME: usize = 255 - ".previous.9999-journal".len();

/// The path of a version of `database`. Number 1 is the newest one.
pub(crate) fn path_of(database: &Path, number: u32) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(SUFFIX);
    if number > 1 {
        name.push(format!(".{number}"));
    }
    name.into()
}

/// The numbers of the versions that are kept beside `database`, the newest first.
pub(crate) fn numbers(database: &Path) -> Vec<u32> {
    let names = leftovers::names_in(database.parent().unwrap_or(Path::new("/")));
    let own = database.file_name().unwrap_or_default();
    let mut numbers: Vec<_> = names.filter_map(|name| number_in(&name, own)).collect();
    numbers.sort_unstable();
    numbers
}

/// Whether a file called `name` is a version of the database called `database` in the same folder, or lies beside one.
pub(crate) fn is_version(name: &OsStr, database: &OsStr) -> bool {
    let main = SUFFIXES
        .iter()
        .find_map(|suffix| name.as_bytes().strip_suffix(suffix.as_bytes()));
    number_in(OsStr::from_bytes(main.unwrap_or(name.as_bytes())), database).is_some()
}

fn number_in(name: &OsStr, database: &OsStr) -> Option<u32> {
    let rest = name.as_bytes().strip_prefix(database.as_bytes())?;
    let rest = rest.strip_prefix(SUFFIX.as_bytes())?;
    if rest.is_empty() {
        return Some(1);
    }
    let digits = std::str::from_utf8(rest.strip_prefix(b".")?).ok()?;
    let number = digits.parse().ok().filter(|number| *number > 1)?;
    (digits == u32::to_string(&number)).then_some(number)
}

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

/// A file under its hidden name. When this is dropped, the name goes if it is a second name of the live file, and
/// otherwise the file becomes the newest version.
#[derive(Debug)]
pub(crate) struct Hidden {
    path: PathBuf,
    database: PathBuf,
    /// The version that it was. It goes back there if it can.
    number: u32,
}

impl Hidden {
    /// Gives the live file a second, hidden name. Nothing else changes.
    pub(crate) fn link(database: &Path) -> io::Result<Self> {
        require_short_name(database)?;
        let path = leftovers::hidden_name(database)?;
        std::fs::hard_link(database, &path)?;
        Ok(Self {
            path,
            database: database.to_owned(),
            number: 1,
        })
    }

    /// Hides a version, so that no process can open it by its name any more.
    pub(crate) fn take(database: &Path, number: u32) -> io::Result<Self> {
        let path = leftovers::hidden_name(database)?;
        std::fs::rename(path_of(database, number), &path)?;
        Ok(Self {
            path,
            database: database.to_owned(),
            number,
        })
    }

    /// Hides a complete file that is to become a version.
    pub(crate) fn cover(file: &Path, database: &Path) -> io::Result<Self> {
        require_short_name(database)?;
        let path = leftovers::hidden_name(database)?;
        std::fs::rename(file, &path)?;
        Ok(Self {
            path,
            database: database.to_owned(),
            number: 1,
        })
    }

    /// Removes the file.
    pub(crate) fn discard(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }

    /// The hidden path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Does what dropping it does, and reports an error.
    pub(crate) fn settle(self) -> io::Result<()> {
        self.end()
    }

    fn end(&self) -> io::Result<()> {
        let place = path_of(&self.database, self.number);
        match self.number > 1 && exists(&self.path) && !exists(&place) {
            true => std::fs::rename(&self.path, place),
            false => settle(&self.path, &self.database).map(drop),
        }
    }

    /// Gives the version its own name back.
    pub(crate) fn give_back(self) -> io::Result<Returned> {
        let metadata = std::fs::symlink_metadata(&self.path)?;
        let returned = Returned {
            file: Identity::of(&metadata),
            mark: mark_in(&metadata),
            database: self.database.clone(),
        };
        self.end().map(|()| returned)
    }
}

fn require_short_name(database: &Path) -> io::Result<()> {
    match database.file_name().unwrap_or_default().len() > LONGEST_NAME {
        true => Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG)),
        false => Ok(()),
    }
}

/// A version that has its own name again. The name changes when a newer version comes.
#[derive(Debug)]
pub(crate) struct Returned {
    file: Identity,
    mark: Kept,
    database: PathBuf,
}

impl Returned {
    /// Removes it, because the live database has its content. If another program has written to it, it stays.
    pub(crate) fn remove(self) -> io::Result<()> {
        for number in numbers(&self.database) {
            let metadata = std::fs::symlink_metadata(path_of(&self.database, number))?;
            if Identity::of(&metadata) == self.file && mark_in(&metadata) == self.mark {
                return remove(&self.database, number).map(drop);
            }
        }
        Ok(())
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // If this fails, the next worker does the same.
        let _ = self.end();
    }
}

/// Returns whether the hidden file became a version.
fn settle(hidden: &Path, database: &Path) -> io::Result<bool> {
    if !exists(hidden) {
        return Ok(false);
    }
    match is_same(hidden, database) {
        true => std::fs::remove_file(hidden).map(|()| false),
        false => put_first(hidden, database).map(|()| true),
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

/// Moves what lies beside the version first. If this ends in between, the next attempt brings both together again.
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
/// names are not its own, so they stay.
pub(crate) fn trim(database: &Path, keep: u32) -> io::Result<Vec<PathBuf>> {
    let excess: Vec<_> = numbers(database).into_iter().skip(keep as usize).collect();
    if excess.is_empty() || !owns_names(database) {
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

/// Before hotswap keeps its first version: moves files that have the names of versions aside, because another program has
/// put them there. Returns their new paths.
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

fn remove(database: &Path, number: u32) -> io::Result<PathBuf> {
    let path = path_of(database, number);
    std::fs::remove_file(&path)?;
    sidecars(&path).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    Ok(path)
}

/// Finishes what a dead worker began. The hidden file is either a second name of the live file, and goes, or a version
/// that has no other name, and becomes the newest one. Returns how many versions came back.
pub(crate) fn recover(database: &Path) -> io::Result<usize> {
    let mut recovered = 0;
    for hidden in leftovers::hidden(database) {
        recovered += usize::from(settle(&hidden, database)?);
    }
    Ok(recovered)
}

/// The log line about a version that came back.
pub(crate) fn recovered(database: &Path) -> String {
    format!(
        "kept {}, which a command that died was about to put there",
        path_of(database, 1).shown()
    )
}

/// The number of hidden names that the live file has beside its own.
pub(crate) fn hidden_names_of(database: &Path) -> u64 {
    let hidden = leftovers::hidden(database);
    hidden.iter().filter(|hidden| is_same(hidden, database)).count() as u64
}

/// The length and the time of the last write of a version, by which the record recognizes it.
pub(crate) fn mark_of(path: &Path) -> io::Result<Kept> {
    std::fs::symlink_metadata(path).map(|metadata| mark_in(&metadata))
}

fn mark_in(metadata: &std::fs::Metadata) -> Kept {
    Kept {
        bytes: metadata.len(),
        mtime_ns: metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec(),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path| {
        std::fs::symlink_metadata(path)
            .ok()
            .map(|metadata| Identity::of(&metadata))
    };
    identity(one).is_some() && identity(one) == identity(other)
}

fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder {
        folder: tempfile::TempDir,
        database: PathBuf,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let database = folder.path().join("live.sqlite3");
            std::fs::write(&database, "live").unwrap();
            Self { folder, database }
        }

        fn keep(&self, content: &str) {
            std::fs::write(self.folder.path().join("from"), content).unwrap();
            put_first(&self.folder.path().join("from"), &self.database).unwrap();
        }

        fn keep_in_record(&self) {
            let entry = record::Entry {
                previous: Some(mark_of(&path_of(&self.database, 1)).unwrap()),
                ..record::Entry::default()
            };
            record::append(&self.database, entry, std::time::Duration::from_secs(60)).unwrap();
        }

        fn contents(&self) -> Vec<(u32, String)> {
            let read = |number| std::fs::read_to_string(path_of(&self.database, number)).unwrap();
            numbers(&self.database)
                .into_iter()
                .map(|number| (number, read(number)))
                .collect()
        }
    }

    fn pairs(expected: &[(u32, &str)]) -> Vec<(u32, String)> {
        expected
            .iter()
            .map(|(number, content)| (*number, (*content).to_owned()))
            .collect()
    }

    #[test]
    fn the_newest_version_comes_first_and_the_oldest_go() {
        let folder = Folder::new();
        ["a", "b", "c"]
            .into_iter()
            .for_each(|content| folder.keep(content));
        assert_eq!(folder.contents(), pairs(&[(1, "c"), (2, "b"), (3, "a")]));
        let third = path_of(&folder.database, 3);
        assert_eq!(trim(&folder.database, 2).unwrap(), [] as [PathBuf; 0]);
        assert_eq!(remove_oldest(&folder.database).unwrap(), None);
        folder.keep_in_record();
        assert_eq!(trim(&folder.database, 2).unwrap(), [third]);
        assert_eq!(trim(&folder.database, 2).unwrap(), [] as [PathBuf; 0]);
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
    fn a_gap_is_filled_before_anything_moves_further_down() {
        let folder = Folder::new();
        ["a", "b"].into_iter().for_each(|content| folder.keep(content));
        let hidden = Hidden::take(&folder.database, 1).unwrap();
        folder.keep("c");
        assert_eq!(folder.contents(), pairs(&[(1, "c"), (2, "a")]));
        drop(hidden);
        assert_eq!(folder.contents(), pairs(&[(1, "b"), (2, "c"), (3, "a")]));
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
    fn what_a_dead_worker_left_is_recovered_and_nothing_is_lost() {
        let folder = Folder::new();
        folder.keep("a");
        // Killed between the link and the rename.
        std::mem::forget(Hidden::link(&folder.database).unwrap());
        assert_eq!(hidden_names_of(&folder.database), 1);
        assert_eq!(recover(&folder.database).unwrap(), 0);
        assert_eq!(folder.contents(), pairs(&[(1, "a")]));
        // Killed after the rename.
        std::mem::forget(Hidden::link(&folder.database).unwrap());
        std::fs::write(folder.folder.path().join("new"), "new").unwrap();
        std::fs::rename(folder.folder.path().join("new"), &folder.database).unwrap();
        assert_eq!(hidden_names_of(&folder.database), 0);
        assert_eq!(recover(&folder.database).unwrap(), 1);
        assert_eq!(folder.contents(), pairs(&[(1, "live"), (2, "a")]));
        // Killed in a rollback.
        std::mem::forget(Hidden::take(&folder.database, 1).unwrap());
        assert_eq!(recover(&folder.database).unwrap(), 1);
        assert_eq!(folder.contents(), pairs(&[(1, "live"), (2, "a")]));
        assert_eq!(recover(&folder.database).unwrap(), 0);
    }

    #[test]
    fn a_link_that_came_to_nothing_goes() {
        let folder = Folder::new();
        drop(Hidden::link(&folder.database).unwrap());
        assert!(leftovers::hidden(&folder.database).is_empty());
        let hidden = Hidden::link(&folder.database).unwrap();
        std::fs::remove_file(&folder.database).unwrap();
        hidden.settle().unwrap();
        assert_eq!(folder.contents(), pairs(&[(1, "live")]));
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

    #[test]
    fn only_the_exact_names_are_versions() {
        let is = |name: &str| is_version(OsStr::new(name), OsStr::new("a.db"));
        for name in [
            "a.db.previous",
            "a.db.previous.2",
            "a.db.previous-wal",
            "a.db.previous.10-shm",
        ] {
            assert!(is(name), "{name}");
        }
        for name in [
            "a.db",
            "a.db.previous.1",
            "a.db.previous.02",
            "a.db.previous.x",
            "a.db.previously",
            "b.db.previous",
        ] {
            assert!(!is(name), "{name}");
        }
    }

    #[test]
    fn databases_whose_names_begin_alike_do_not_share_their_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        let long = |end: &str| folder.path().join("n".repeat(150) + end);
        std::fs::write(long("a"), "a").unwrap();
        std::mem::forget(Hidden::link(&long("a")).unwrap());
        assert!(leftovers::hidden(&long("b")).is_empty());
        assert_eq!(leftovers::hidden(&long("a")).len(), 1);
    }
}
