//! Declares to workers which fences this process holds.
//!
//! A fence can be replaced under a running application: its folder is restored, or a tool removes files that it does
//! not know. A worker that opens the new fence finds no member there, although processes have the database open. So
//! each member declares which fence it holds for which path, in a file without a name that it keeps open. A worker
//! finds that file in `/proc`, and waits for the members that hold another fence than its own.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use crate::sys::identity::Identity;
use crate::sys::publication::{self, Publication};

const NAME: &str = "hotswap-member";
/// The hash of a path, and the fence that the process holds for it. No fence means that the process is about to open
/// one.
type Entry = (u64, Option<Identity>);

/// The declaration of this process.
#[derive(Debug)]
pub(super) struct Declaration {
    entries: Vec<Entry>,
    publication: Option<Publication>,
}

impl Declaration {
    /// Declares nothing yet. If the kernel provides no such file, workers have to trust that this process follows
    /// its fence in time.
    pub(super) fn new() -> Self {
        Self {
            entries: Vec::new(),
            publication: Publication::new(NAME),
        }
    }

    /// Declares which fence this process holds for `path`. Replaces an earlier declaration.
    pub(super) fn declare(&mut self, path: &Path, fence: Option<Identity>) {
        let entry = (hash(path), fence);
        match self.entries.iter_mut().find(|(known, _)| *known == entry.0) {
            Some(known) if *known == entry => return,
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        self.publish();
    }

    /// Withdraws the declaration for `path`.
    pub(super) fn withdraw(&mut self, path: &Path) {
        let hash = hash(path);
        self.entries.retain(|(known, _)| *known != hash);
        self.publish();
    }

    /// The fence declared for `path`.
    pub(super) fn fence_of(&self, path: &Path) -> Option<Identity> {
        let hash = hash(path);
        self.entries.iter().find(|(known, _)| *known == hash)?.1
    }

    fn publish(&self) {
        if let Some(publication) = &self.publication {
            publication.publish(&serde_json::to_vec(&self.entries).unwrap_or_default());
        }
    }
}

fn hash(path: &Path) -> u64 {
    xxh3_64(path.as_os_str().as_bytes())
}

/// A process that has joined the fleet of a path without holding the fence that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Astray {
    /// The pid of the process.
    pub pid: u32,
    /// Whether it holds another fence, and is not just about to join.
    pub holds_another: bool,
}

/// Finds processes that are members for any of `paths`, which all mean one database, without holding `fence`. Sees
/// only the processes that this user may inspect.
pub fn astray(paths: &[&Path], fence: Identity) -> Vec<Astray> {
    let hashes: Vec<_> = paths.iter().map(|path| hash(path)).collect();
    let find = |(pid, published): (u32, Vec<Vec<u8>>)| {
        let declared = published
            .iter()
            .filter_map(|content| serde_json::from_slice::<Vec<Entry>>(content).ok())
            .flatten()
            .filter(|(path, _)| hashes.contains(path));
        let fences: Vec<_> = declared.map(|(_, fence)| fence).collect();
        let is_astray = !fences.is_empty() && !fences.contains(&Some(fence));
        is_astray.then_some(Astray {
            pid,
            holds_another: fences.iter().any(Option::is_some),
        })
    };
    publication::all(NAME).filter_map(find).collect()
}

/// All fences of which processes declare that they hold them, each with the process, as far as this user may inspect it.
pub fn held() -> Vec<(Identity, u32)> {
    let fences = |content: &Vec<u8>| {
        let declared = serde_json::from_slice::<Vec<Entry>>(content).unwrap_or_default();
        declared.into_iter().filter_map(|(_, fence)| fence)
    };
    let of = |(pid, published): (u32, Vec<Vec<u8>>)| -> Vec<_> {
        let held = published.iter().flat_map(fences);
        held.map(|fence| (fence, pid)).collect()
    };
    publication::all(NAME).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(inode: u64) -> Identity {
        Identity { device: 1, inode }
    }

    #[test]
    fn a_process_that_holds_another_fence_for_the_path_is_astray() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (
            folder.path().join("live.sqlite3"),
            folder.path().join("other.sqlite3"),
        );
        let own = std::process::id();
        let here = |paths: &[&Path], fence| {
            let found = astray(paths, identity(fence));
            found.into_iter().find(|astray| astray.pid == own)
        };
        let mut declaration = Declaration::new();
        assert_eq!(here(&[&path], 1), None);

        declaration.declare(&path, None);
        let joining = Astray {
            pid: own,
            holds_another: false,
        };
        assert_eq!(here(&[&path], 1), Some(joining));

        declaration.declare(&path, Some(identity(1)));
        assert_eq!(here(&[&path], 1), None);
        let lost = Astray {
            pid: own,
            holds_another: true,
        };
        assert_eq!(here(&[&other, &path], 2), Some(lost));
        assert_eq!(here(&[&other], 2), None);

        assert!(held().contains(&(identity(1), own)) && !held().contains(&(identity(2), own)));

        declaration.declare(&other, Some(identity(2)));
        assert_eq!(here(&[&other, &path], 2), None);
        declaration.withdraw(&other);
        declaration.withdraw(&path);
        assert_eq!(here(&[&other, &path], 2), None);
    }
}
