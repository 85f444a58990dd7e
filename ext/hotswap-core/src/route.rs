//! Which database a copy is about, and in which direction: exactly one side of it is a managed database.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Usage};
use crate::fence;
use crate::path::resolve;
use crate::pattern::Pattern;
use crate::previous;
use crate::protocol::{Endpoint, Request};
use crate::record;
use crate::settings::{Database, Settings};
use crate::sidecar::sidecars;
use crate::sys::identity::Identity;
use crate::visible::Shown;

impl Settings {
    /// Applies what the user has set for one command.
    pub fn for_request(self, request: &Request) -> Self {
        Self {
            max_pause_ms: request.max_pause_ms.unwrap_or(self.max_pause_ms),
            timeout_ms: request.timeout_ms.unwrap_or(self.timeout_ms),
            ..self
        }
    }

    /// The managed database that `endpoint` names: by any path that leads to it, as `database` (the first one), or
    /// by its name if there is no such file.
    pub fn find(&self, endpoint: &Endpoint) -> Option<&Database> {
        self.find_by_path(endpoint).or_else(|| {
            let is_a_name = !endpoint.stdio && endpoint.identity.is_none();
            self.find_by_name(endpoint.database()).filter(|_| is_a_name)
        })
    }

    /// The managed database on each side of a copy. If neither path leads to one from the client's folder, tries the
    /// relative paths from the application's root.
    pub fn sides(&self, src: &Endpoint, dst: &Endpoint) -> (Option<&Database>, Option<&Database>) {
        match (self.find(src), self.find(dst)) {
            (None, None) => (self.find_below_root(src), self.find_below_root(dst)),
            found => found,
        }
    }

    fn find_below_root(&self, endpoint: &Endpoint) -> Option<&Database> {
        let is_elsewhere = endpoint.stdio || !endpoint.absent || self.root.as_os_str().is_empty();
        if is_elsewhere || Path::new(endpoint.database()).is_absolute() {
            return None;
        }
        let path = resolve(&self.root.join(endpoint.database()));
        self.databases.iter().find(|database| database.leads_to(&path))
    }

    /// The managed database that `endpoint` names by its path.
    pub fn find_by_path(&self, endpoint: &Endpoint) -> Option<&Database> {
        let mut databases = self.databases.iter().filter(|_| !endpoint.stdio);
        databases.find(|database| database.is(endpoint))
    }

    fn find_by_name(&self, name: &str) -> Option<&Database> {
        let named = self
            .databases
            .iter()
            .find(|database| database.name.as_deref() == Some(name));
        let first = || self.databases.first().filter(|first| first.pattern.is_none());
        named.or_else(|| first().filter(|_| name == "database"))
    }

    /// Refuses the files that SQLite and hotswap keep next to a database. They are a part of it: a copy of one alone
    /// is useless, and replacing one alone damages the database.
    fn refuse_files_of_databases(&self, endpoints: [&Endpoint; 2]) -> Result<()> {
        let named: Vec<_> = endpoints
            .into_iter()
            .filter(|endpoint| !endpoint.stdio && self.find_by_path(endpoint).is_none())
            .collect();
        if named.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = self.databases.iter().map(Database::place).collect();
        let owner = |endpoint: &Endpoint| places.iter().position(|place| owns(place, endpoint));
        let found = named
            .into_iter()
            .find_map(|endpoint| owner(endpoint).map(|index| (endpoint, &self.databases[index])));
        found.map_or(Ok(()), |(endpoint, database)| {
            let name = endpoint.raw.clone();
            let place = database.place();
            Err(match is_version(&place, &endpoint.resolved) {
                true => Usage::VersionOfDatabase {
                    name,
                    database: database.shortest_name(),
                },
                false => Usage::PartOfDatabase {
                    name,
                    database: database.label.clone(),
                },
            }
            .into())
        })
    }

    /// The one database that `endpoint` names.
    pub fn named(&self, endpoint: &Endpoint) -> Result<&Database> {
        let found = self.find(endpoint).or_else(|| self.find_below_root(endpoint));
        found.ok_or_else(|| {
            Usage::NotManaged {
                name: endpoint.raw.clone(),
                databases: self.labels(),
            }
            .into()
        })
    }

    fn labels(&self) -> Vec<String> {
        let databases = self.registered().iter();
        databases.map(|database| database.label.clone()).collect()
    }

    /// The database that `endpoint` names, or those that it matches, if it is a pattern.
    pub fn named_or_matched(&self, endpoint: &Endpoint) -> Result<Vec<&Database>> {
        let named = self.named(endpoint);
        let places = endpoint.places(&self.root);
        let patterns = places.iter().filter_map(|place| Pattern::of(place));
        let patterns: Vec<_> = patterns.filter(|_| named.is_err() && endpoint.absent).collect();
        let is_matched = |database: &&Database| {
            let mut patterns = patterns.iter();
            patterns.any(|pattern| pattern.find(&database.path).is_some())
        };
        let matched: Vec<_> = self.databases.iter().filter(is_matched).collect();
        match matched.is_empty() {
            true if patterns.is_empty() => named.map(|database| vec![database]),
            true => Err(Usage::NoneMatches {
                name: endpoint.raw.clone(),
                databases: self.labels(),
            }
            .into()),
            false => Ok(matched),
        }
    }

    /// The error for a user who has named no managed database, but perhaps several by a pattern.
    fn none_managed(&self, src: &Endpoint, dst: &Endpoint) -> Error {
        let is_rollback = src.version().is_some_and(|(_, name)| name == dst.raw);
        match self.named_or_matched(dst) {
            Ok(matched) => {
                return Usage::TakesOne {
                    command: if is_rollback { "rollback" } else { "push" },
                    name: dst.raw.clone(),
                    example: matched[0].label.clone(),
                }
                .into()
            }
            Err(error) if is_rollback => return error,
            Err(_) => {}
        }
        let databases = self.registered().iter();
        // The name of a pattern leads to no database.
        let single = databases.clone().filter(|one| !one.is_pattern());
        Usage::NoneManaged {
            databases: databases.map(|database| database.path.shown()).collect(),
            names: single.filter_map(|database| database.name.clone()).collect(),
        }
        .into()
    }

    /// The direction of a copy, and its database. Exactly one side must be managed, or the source is a previous version
    /// of the destination.
    pub fn route(&self, src: &Endpoint, dst: &Endpoint) -> Result<(Direction, &Database)> {
        if let Some(number) = rollback_without_a_name(src, dst) {
            return self
                .only()
                .map(|database| (Direction::Rollback(number), database));
        }
        self.refuse_files_of_databases([src, dst])?;
        if dst.is_version {
            return Err(Usage::VersionAsTarget {
                name: dst.raw.clone(),
            }
            .into());
        }
        match (self.sides(src, dst), src.version()) {
            ((Some(source), Some(database)), Some((number, _))) if source == database => database
                .require_managed()
                .map(|()| (Direction::Rollback(number), database)),
            ((Some(database), None), Some((number, _))) => database
                .require_managed()
                .map(|()| (Direction::PullVersion(number), database)),
            ((Some(_), Some(_)), _) => Err(Usage::BothManaged.into()),
            ((Some(database), None), _) => database.require_managed().map(|()| (Direction::Pull, database)),
            ((None, Some(database)), _) => database.require_managed().map(|()| (Direction::Push, database)),
            ((None, None), _) => Err(self.none_managed(src, dst)),
        }
    }

    /// The database that a user means who names none.
    pub fn only(&self) -> Result<&Database> {
        // Another database may match a pattern tomorrow.
        match &*self.databases {
            [database] if database.pattern.is_none() => database.require_managed().map(|()| database),
            _ => Err(Usage::SeveralManaged {
                databases: self.registered().iter().map(Database::shortest_name).collect(),
            }
            .into()),
        }
    }
}

/// The version of a rollback for which the user has named no database.
pub(crate) fn rollback_without_a_name(src: &Endpoint, dst: &Endpoint) -> Option<u32> {
    match (src.version(), &*dst.raw) {
        (Some((number, "")), "") => Some(number),
        _ => None,
    }
}

/// The direction of a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Direction {
    /// Into the application.
    Push,
    /// Out of the application.
    Pull,
    /// The version with this number, out of the application.
    PullVersion(u32),
    /// The version with this number, back into the application.
    Rollback(u32),
}

impl Database {
    fn shortest_name(&self) -> String {
        let name = self.name.clone().filter(|_| !self.is_pattern());
        name.unwrap_or_else(|| self.label.clone())
    }

    /// The path of the database, resolved if it is a symlink. The folder is not resolved, because each command calls
    /// this for all databases, and there may be thousands.
    fn place(&self) -> PathBuf {
        if self.path.is_symlink() {
            self.resolved()
        } else {
            self.path.clone()
        }
    }

    fn is(&self, endpoint: &Endpoint) -> bool {
        let paths = [&endpoint.absolute, &endpoint.resolved];
        if paths.contains(&&self.path) {
            return true;
        }
        let found = std::fs::symlink_metadata(&self.path);
        let is_link = found.as_ref().is_ok_and(|metadata| metadata.is_symlink());
        let file = if is_link {
            std::fs::metadata(&self.path)
        } else {
            found
        };
        let same_file = |identity: Identity| file.is_ok_and(|metadata| Identity::of(&metadata) == identity);
        // Compares the path, too, because a swap after the client's look at the file changes its identity.
        endpoint.identity.is_some_and(same_file)
            || paths
                .iter()
                .any(|path| self.may_lead_to(path, is_link) && **path == self.resolved())
    }

    /// Whether the database is at `resolved`, a path without symlinks.
    fn leads_to(&self, resolved: &Path) -> bool {
        self.may_lead_to(resolved, self.path.is_symlink()) && self.resolved() == resolved
    }

    fn may_lead_to(&self, path: &Path, is_link: bool) -> bool {
        is_link || path.file_name() == self.path.file_name()
    }
}

/// Whether the endpoint is the WAL, the WAL index, the journal, the fence, the record or a previous version of the
/// database at `place`. Also true if the database at `place` has the name of such a file of the endpoint.
fn owns(place: &Path, endpoint: &Endpoint) -> bool {
    // Compares the identity too, because a hard link gives a file a second name.
    let same_file = |identity: Identity| {
        let mut own = files_beside(place);
        own.any(|path| std::fs::metadata(path).is_ok_and(|metadata| Identity::of(&metadata) == identity))
    };
    files_beside(place).any(|path| leads_to(&path, &endpoint.resolved))
        || is_version(place, &endpoint.resolved)
        || sidecars(&endpoint.resolved).any(|path| leads_to(place, &path))
        || endpoint.identity.is_some_and(same_file)
}

/// Whether `path` names the file at `resolved`. The path is no symlink itself, but its folder may be one. If the
/// file names differ, resolves nothing, because each command calls this for all databases, and there may be
/// thousands.
fn leads_to(path: &Path, resolved: &Path) -> bool {
    path.file_name() == resolved.file_name() && path.parent().map(resolve).as_deref() == resolved.parent()
}

/// Whether the file at `resolved` is a previous version of the database at `place`, or lies next to one.
fn is_version(place: &Path, resolved: &Path) -> bool {
    let names = place.file_name().zip(resolved.file_name());
    names.is_some_and(|(database, name)| previous::is_version(name, database))
        && place.parent().map(resolve).as_deref() == resolved.parent()
}

/// The files that SQLite and hotswap may keep next to a database, except its previous versions.
fn files_beside(database: &Path) -> impl Iterator<Item = PathBuf> + '_ {
    sidecars(database)
        .chain([fence::path_of(database)])
        .chain(record::paths_of(database))
}

#[cfg(test)]
mod tests;
