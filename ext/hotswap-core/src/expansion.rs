//! The databases that match the patterns of an application, at the moment of a command.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use crate::leftovers;
use crate::path::resolve;
use crate::pattern::Pattern;
use crate::protocol::Endpoint;
use crate::settings::{Database, Settings};
use crate::visible::Shown;

impl Settings {
    /// Puts the databases that exist now in the place of each pattern, and those that `endpoints` name.
    pub fn expand(mut self, endpoints: &[&Endpoint]) -> Self {
        let registered = std::mem::take(&mut self.databases);
        let mut known: HashSet<_> = registered
            .iter()
            .filter(|one| !one.is_pattern())
            .map(|one| one.path.clone())
            .collect();
        for (place, one) in registered.iter().enumerate() {
            let Some(pattern) = one.as_pattern() else {
                self.databases.push(Database { place, ..one.clone() });
                continue;
            };
            let named = endpoints.iter().filter(|endpoint| !endpoint.stdio);
            let mut named: Vec<_> = named
                .flat_map(|endpoint| endpoint.places(&self.root))
                .filter_map(|path| pattern.find(&path))
                .collect();
            named.sort();
            let found = pattern.files().into_iter().chain(named);
            let new = found.filter(|path| known.insert(path.clone()));
            let databases = new.map(|path| one.found_at(path, place, &self.root));
            self.databases.extend(databases);
        }
        self.registered = registered;
        self
    }

    /// The resolved paths of all databases next to which a worker may have left files.
    pub(crate) fn swept(&self) -> Vec<PathBuf> {
        let patterns = self.databases.iter().filter_map(Database::as_pattern);
        let mut swept: Vec<_> = patterns
            .flat_map(Pattern::begun)
            .map(|path| resolve(&path))
            .collect();
        swept.extend(self.clone().expand(&[]).resolved());
        swept.sort();
        swept.dedup();
        swept
    }

    /// Whether a dead worker may have left files next to a database. Opens none of them. An application asks at every
    /// boot, so this reads each folder once, and looks at single databases only if a folder may have such files.
    pub(crate) fn suspects_leftovers(&self) -> bool {
        let folders = self.databases.iter().flat_map(|one| match one.as_pattern() {
            Some(pattern) => pattern.folders(),
            None => one.resolved().parent().map(Path::to_owned).into_iter().collect(),
        });
        let folders: BTreeSet<_> = folders.collect();
        folders.iter().any(|folder| leftovers::may_be_near(folder)) && leftovers::suspected(&self.swept())
    }
}

impl Database {
    /// Whether it stands for every database whose path matches. No command can name it.
    pub(crate) fn is_pattern(&self) -> bool {
        self.as_pattern().is_some()
    }

    /// Its path as a pattern, if it is one. A `*` in the path of the application's root stands for itself. The label
    /// leaves that path out.
    fn as_pattern(&self) -> Option<Pattern<'_>> {
        let below_root = Pattern::of(Path::new(&self.label));
        below_root.and_then(|_| Pattern::of(&self.path))
    }

    /// The database at `path`, which this pattern has found.
    fn found_at(&self, path: PathBuf, place: usize, root: &Path) -> Self {
        Self {
            label: path.strip_prefix(root).unwrap_or(&path).shown(),
            name: None,
            pattern: Some(self.label.clone()),
            place,
            path,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn leftovers_are_found_next_to_databases_and_where_their_symlinks_lead() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for name in ["tenants/a", "tenants/b", "tenants/none", "elsewhere", "plain"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        for name in [
            "tenants/a/main.sqlite3",
            "elsewhere/b.sqlite3",
            "plain/main.sqlite3",
        ] {
            std::fs::write(at(name), "").unwrap();
        }
        symlink(at("elsewhere/b.sqlite3"), at("tenants/b/main.sqlite3")).unwrap();
        let database = |path: &str| Database {
            path: at(path),
            label: path.into(),
            ..Database::default()
        };
        let settings = Settings {
            databases: vec![database("plain/main.sqlite3"), database("tenants/*/main.sqlite3")],
            root: folder.path().to_owned(),
            ..Settings::default()
        };
        assert!(!settings.suspects_leftovers());
        for (name, expected) in [
            ("plain/.main.sqlite3.hotswap-1.staged", true),
            ("plain/.other.sqlite3.hotswap-1.staged", false),
            ("tenants/a/.main.sqlite3.hotswap-1.staged", true),
            ("tenants/a/.hotswap-1.report", true),
            // A worker was killed while it created the database.
            ("tenants/none/.main.sqlite3.hotswap-1.staged", true),
            ("tenants/none/.other.sqlite3.hotswap-1.staged", false),
            ("elsewhere/.b.sqlite3.hotswap-1.staged", true),
        ] {
            std::fs::write(at(name), "").unwrap();
            assert_eq!(settings.suspects_leftovers(), expected, "{name}");
            std::fs::remove_file(at(name)).unwrap();
        }
    }
}
