//! The [hidden name](leftovers::hidden_name) of a version, while it moves from the live path to its place or back.
//!
//! A worker that dies leaves it there. The next worker that holds the operation lock [recovers](recover) it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::names::{numbers, path_of};
use super::versions::{exists, mark_in, put_first, remove};
use crate::leftovers;
use crate::record::Kept;
use crate::sys::identity::Identity;
use crate::visible::Shown;

/// The longest name of a database that leaves room for the names of its versions and of the files next to them.
const LONGEST_NAME: usize = 255 - ".previous.9999-journal".len();

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

/// The number of hidden names that the live file has in addition to its own.
pub(crate) fn hidden_names_of(database: &Path) -> u64 {
    let hidden = leftovers::hidden(database);
    hidden.iter().filter(|hidden| is_same(hidden, database)).count() as u64
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (std::fs::symlink_metadata(one), std::fs::symlink_metadata(other)) {
        (Ok(one), Ok(other)) => Identity::of(&one) == Identity::of(&other) || is_same_below(&one, &other),
        _ => false,
    }
}

/// Overlayfs gives the names of one file different devices and inodes if the file came from a layer on another file
/// system. The rest of what it reports is the file's own. Linking sets the time of the last change of both names.
fn is_same_below(one: &std::fs::Metadata, other: &std::fs::Metadata) -> bool {
    let facts = |file: &std::fs::Metadata| {
        let times = (file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec());
        (file.len(), file.nlink(), times)
    };
    one.dev() != other.dev() && one.nlink() > 1 && facts(one) == facts(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::previous::testing::{pairs, Folder};

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
    fn databases_whose_names_begin_alike_do_not_share_their_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        let long = |end: &str| folder.path().join("n".repeat(150) + end);
        std::fs::write(long("a"), "a").unwrap();
        std::mem::forget(Hidden::link(&long("a")).unwrap());
        assert!(leftovers::hidden(&long("b")).is_empty());
        assert_eq!(leftovers::hidden(&long("a")).len(), 1);
    }
}
