//! The names of the versions.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::leftovers;
use crate::sidecar::SUFFIXES;

/// What follows the database's name in the name of the newest version.
pub(crate) const SUFFIX: &str = ".previous";
/// The path of a version of `database`. Number 1 is the newest one.
pub(crate) fn path_of(database: &Path, number: u32) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(SUFFIX);
    if number > 1 {
        name.push(format!(".{number}"));
    }
    name.into()
}

/// The numbers of the versions that are kept next to `database`, the newest first.
pub(crate) fn numbers(database: &Path) -> Vec<u32> {
    Numbers::default().of(database)
}

/// The numbers of the versions of several databases. Lists each folder once, because an application may have a thousand
/// databases in one.
#[derive(Debug, Default)]
pub(crate) struct Numbers(HashMap<PathBuf, HashMap<OsString, BTreeSet<u32>>>);

impl Numbers {
    /// Those of `database`, the newest first.
    pub(crate) fn of(&mut self, database: &Path) -> Vec<u32> {
        let folder = database.parent().unwrap_or(Path::new("/"));
        if !self.0.contains_key(folder) {
            self.0.insert(folder.to_owned(), in_folder(folder));
        }
        let found = self.0[folder].get(database.file_name().unwrap_or_default());
        found.into_iter().flatten().copied().collect()
    }
}

fn in_folder(folder: &Path) -> HashMap<OsString, BTreeSet<u32>> {
    let mut found = HashMap::<_, BTreeSet<_>>::new();
    for name in leftovers::names_in(folder) {
        let bytes = name.as_bytes();
        let mut places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(SUFFIX.as_bytes()));
        let version = places.find_map(|at| {
            let database = OsStr::from_bytes(&bytes[..at]);
            number_in(&name, database).map(|number| (database.to_owned(), number))
        });
        if let Some((database, number)) = version {
            found.entry(database).or_default().insert(number);
        }
    }
    found
}

/// Whether a file called `name` is a version of the database called `database` in the same folder, or lies next to one.
pub(crate) fn is_version(name: &OsStr, database: &OsStr) -> bool {
    let main = SUFFIXES
        .iter()
        .find_map(|suffix| name.as_bytes().strip_suffix(suffix.as_bytes()));
    number_in(OsStr::from_bytes(main.unwrap_or(name.as_bytes())), database).is_some()
}

/// Whether `name` is that of a version of some database, or of a file that SQLite puts next to one.
pub(crate) fn is_version_of_any(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let mut beginnings = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(SUFFIX.as_bytes()));
    beginnings.any(|at| is_version(name, OsStr::from_bytes(&bytes[..at])))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_one_database_are_not_those_of_another() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "a.previous.2",
            "a.previous",
            "a.previous-wal",
            "a.previous.previous",
            "b.previous.10",
            "b.previous.x",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut numbers = Numbers::default();
        let mut of = |name: &str| numbers.of(&folder.path().join(name));
        assert_eq!(of("a"), [1, 2]);
        assert_eq!(of("a.previous"), [1]);
        assert_eq!(of("b"), [10]);
        assert!(of("c").is_empty());
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
}
