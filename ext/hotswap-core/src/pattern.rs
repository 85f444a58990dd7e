//! A path in which `*` stands for a part of a name: "/srv/app/storage/tenants/*/main.sqlite3". It stands for databases
//! that the application creates while it runs.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::leftovers;
use crate::path::resolve;
use crate::previous;

/// What SQLite and hotswap add to the name of a database.
const ADDED: [&[u8]; 6] = [
    b"-wal",
    b"-shm",
    b"-journal",
    b".hotswap",
    b".hotswap.log",
    b".hotswap.log.1",
];

/// An absolute path with at least one `*`. It matches within one name, and no name that begins with a dot.
#[derive(Clone, Copy, Debug)]
pub struct Pattern<'a>(&'a Path);

impl<'a> Pattern<'a> {
    /// The pattern that `path` is. `None` if it is an ordinary path.
    pub fn of(path: &'a Path) -> Option<Self> {
        has_star(path.as_os_str()).then_some(Self(path))
    }

    /// The path, as this pattern writes it, of the file at `path`. `None` if the pattern does not match. The file does
    /// not have to exist. `path` is absolute; symlinks in it may be resolved.
    pub fn find(self, path: &Path) -> Option<PathBuf> {
        // A pattern that a user has typed is no database, but a file may have such a name.
        if has_star(path.as_os_str()) && std::fs::symlink_metadata(path).is_err() {
            return None;
        }
        let (folder, names) = self.parts();
        let below = |folder: &Path| {
            let rest: Vec<_> = path.strip_prefix(folder).ok()?.components().collect();
            let names_match = rest.len() == names.len()
                && rest
                    .iter()
                    .zip(&names)
                    .all(|(component, pattern)| match component {
                        Component::Normal(name) => matches(name, pattern),
                        _ => false,
                    });
            (names_match && !is_beside_a_database(path)).then_some(rest)
        };
        let rest = below(&folder).or_else(|| below(&resolve(&folder)))?;
        Some(rest.iter().fold(folder, |path, name| path.join(name)))
    }

    /// The files that exist, sorted by name.
    pub fn files(self) -> Vec<PathBuf> {
        let mut found = self.matches_of_any_kind();
        found.retain(|path| !is_beside_a_database(path) && path.is_file());
        found
    }

    fn matches_of_any_kind(self) -> Vec<PathBuf> {
        let (folder, names) = self.parts();
        names.iter().fold(vec![folder], |folders, pattern| {
            folders
                .iter()
                .flat_map(|folder| entries(folder, pattern))
                .collect()
        })
    }

    /// The databases next to which a worker may have left files. They do not have to exist: a worker may have been
    /// killed while it created one.
    pub(crate) fn begun(self) -> Vec<PathBuf> {
        let folders = self.folders();
        let begun = folders.iter().flat_map(|folder| leftovers::databases_in(folder));
        begun.filter(|path| self.find(path).is_some()).collect()
    }

    /// The folders in which files may match.
    pub(crate) fn folders(self) -> Vec<PathBuf> {
        let parent = self.0.parent().unwrap_or(Path::new("/"));
        match Pattern::of(parent) {
            Some(parent) => parent.matches_of_any_kind(),
            None => vec![parent.to_owned()],
        }
    }

    /// The folder before the first `*`.
    pub fn folder(self) -> PathBuf {
        self.parts().0
    }

    /// The folder before the first `*`, and the names from there on.
    fn parts(self) -> (PathBuf, Vec<&'a OsStr>) {
        let is_plain = |component: &Component<'_>| !has_star(component.as_os_str());
        let folder = self.0.components().take_while(is_plain).collect();
        let names = self.0.components().skip_while(is_plain);
        (folder, names.map(Component::as_os_str).collect())
    }
}

/// The entries of `folder` that match. A name without `*` is not looked up.
fn entries(folder: &Path, pattern: &OsStr) -> Vec<PathBuf> {
    if !has_star(pattern) {
        return vec![folder.join(pattern)];
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|name| matches(name, pattern)).collect();
    names.sort();
    names.into_iter().map(|name| folder.join(name)).collect()
}

fn has_star(name: &OsStr) -> bool {
    name.as_bytes().contains(&b'*')
}

fn matches(name: &OsStr, pattern: &OsStr) -> bool {
    let (name, pattern) = (name.as_bytes(), pattern.as_bytes());
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let (first, last) = (pieces.next().unwrap_or_default(), pieces.next_back());
    let Some(last) = last else {
        return name == pattern;
    };
    if name.first() == Some(&b'.') && first.is_empty() {
        return false;
    }
    let Some(mut rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    pieces.filter(|piece| !piece.is_empty()).all(|piece| {
        let at = rest.windows(piece.len()).position(|window| window == piece);
        at.inspect(|at| rest = &rest[at + piece.len()..]).is_some()
    })
}

/// Whether the name is one that SQLite or hotswap gives to a file next to a database. With "storage/*" it would match,
/// too.
fn is_beside_a_database(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    ADDED.iter().any(|added| name.as_bytes().ends_with(added)) || previous::is_version_of_any(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, path: &str) -> bool {
        let pattern = Path::new(pattern);
        Pattern::of(pattern).unwrap().find(Path::new(path)).is_some()
    }

    #[test]
    fn a_star_stands_for_a_part_of_one_name() {
        for (pattern, path, expected) in [
            (
                "/app/tenants/*/main.sqlite3",
                "/app/tenants/acme/main.sqlite3",
                true,
            ),
            (
                "/app/tenants/*/main.sqlite3",
                "/app/tenants/a/b/main.sqlite3",
                false,
            ),
            ("/app/tenants/*/main.sqlite3", "/app/tenants/main.sqlite3", false),
            (
                "/app/tenants/*/main.sqlite3",
                "/app/tenants/../main.sqlite3",
                false,
            ),
            (
                "/app/tenants/*/main.sqlite3",
                "/app/tenants/.trash/main.sqlite3",
                false,
            ),
            ("/app/*.sqlite3", "/app/acme.sqlite3", true),
            ("/app/*.sqlite3", "/app/acme.sqlite3-wal", false),
            ("/app/a*b*c", "/app/abxbc", true),
            ("/app/a*b*c", "/app/acb", false),
            ("/app/aa*aa", "/app/aaa", false),
            ("/app/*/*.db", "/app/x/y.db", true),
            ("/app/*", "/app/acme", true),
        ] {
            assert_eq!(finds(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn files_that_lie_beside_a_database_are_none() {
        for added in [
            "-wal",
            "-shm",
            "-journal",
            ".hotswap",
            ".hotswap.log",
            ".previous",
            ".previous.2",
        ] {
            assert!(!finds("/app/*", &format!("/app/acme.sqlite3{added}")), "{added}");
        }
    }

    #[test]
    fn the_files_are_those_that_exist_also_below_a_linked_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for tenant in ["b", "a", "empty"] {
            std::fs::create_dir_all(at("shared").join(tenant)).unwrap();
        }
        std::fs::write(at("shared/a/main.sqlite3"), "").unwrap();
        std::fs::write(at("shared/b/main.sqlite3"), "").unwrap();
        std::fs::write(at("shared/b/main.sqlite3-wal"), "").unwrap();
        std::os::unix::fs::symlink("shared", at("tenants")).unwrap();
        let path = at("tenants/*/main.sqlite3");
        let pattern = Pattern::of(&path).unwrap();
        assert_eq!(
            pattern.files(),
            [at("tenants/a/main.sqlite3"), at("tenants/b/main.sqlite3")]
        );
        std::fs::create_dir(at("shared/a*")).unwrap();
        let starred = at("tenants/a*/main.sqlite3");
        assert_eq!(pattern.find(&starred), None);
        std::fs::write(&starred, "").unwrap();
        assert_eq!(pattern.find(&starred), Some(starred));
        let new = at("shared").canonicalize().unwrap().join("new/main.sqlite3");
        assert_eq!(pattern.find(&new), Some(at("tenants/new/main.sqlite3")));
    }
}
