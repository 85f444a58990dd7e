//! The names of the versions.

use std::ffi::OsStr;
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
    let names = leftovers::names_in(database.parent().unwrap_or(Path::new("/")));
    let own = database.file_name().unwrap_or_default();
    let mut numbers: Vec<_> = names.filter_map(|name| number_in(&name, own)).collect();
    numbers.sort_unstable();
    numbers
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
