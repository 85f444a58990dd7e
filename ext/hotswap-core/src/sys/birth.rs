//! The owner and the mode of a file that does not exist yet: those that the application would give it.
//!
//! Root may restore a database before the application's first boot. The application runs as another user, and must be
//! able to use the file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::{fchown, DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::rights;
use super::unsupported::is_unsupported;

/// The mode with which SQLite creates a database, before the umask.
const DATABASE: u32 = 0o644;

/// The umask of most systems, where the system does not tell.
const USUAL_UMASK: u32 = 0o022;

/// The mode with which SQLite would create a database in this process.
pub fn mode_of_a_database() -> u32 {
    DATABASE & !rights::umask().unwrap_or(USUAL_UMASK)
}

/// Gives `file` to the owner of `folder`, if this process is root's. A file that another user creates is that user's,
/// also if the application creates it.
pub fn give_to_owner_of(folder: &Path, file: &File) -> Result<()> {
    let (owner, own) = (std::fs::metadata(folder)?, file.metadata()?);
    if !nix::unistd::geteuid().is_root() || owner.uid() == own.uid() {
        return Ok(());
    }
    match fchown(file, Some(owner.uid()), Some(owner.gid())) {
        // A root without this right, and a disk without owners.
        Err(error) if error.kind() == ErrorKind::PermissionDenied || is_unsupported(&error) => Ok(()),
        given => given,
    }
}

/// Creates `folder` and the folders above it, as Active Record does before it creates a database. Each gets the owner
/// of the folder above it. Returns those that did not exist, deepest first.
pub fn make_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let Some(above) = folder.parent() else {
        return Ok(Vec::new());
    };
    match DirBuilder::new().mode(0o777).create(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let above = make_folder(above)?;
            let mut made = make_folder(folder)?;
            made.extend(above);
            return Ok(made);
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => return Ok(Vec::new()),
        made => made?,
    }
    let made = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW)
        .open(folder)?;
    give_to_owner_of(above, &made)?;
    // Without this, a power cut could take the folder and the database in it away.
    File::open(above)?.sync_all()?;
    Ok(vec![folder.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_gets_the_mode_that_sqlite_gives_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("of_sqlite.sqlite3");
        let made = OpenOptions::new()
            .write(true)
            .create(true)
            .mode(DATABASE)
            .open(path)
            .unwrap();
        assert_eq!(made.metadata().unwrap().mode() & 0o777, mode_of_a_database());
    }

    #[test]
    fn missing_folders_are_made_and_belong_to_the_owner_of_the_folder_above() {
        let folder = tempfile::tempdir().unwrap();
        let owner = match nix::unistd::geteuid().is_root() {
            true => 12_345,
            false => folder.path().metadata().unwrap().uid(),
        };
        std::os::unix::fs::chown(folder.path(), Some(owner), None).unwrap();
        let deep = folder.path().join("one/two");
        let above = deep.parent().unwrap().to_owned();
        assert_eq!(make_folder(&deep).unwrap(), [deep.clone(), above]);
        assert!(make_folder(&deep).unwrap().is_empty());
        for made in [&deep, deep.parent().unwrap()] {
            assert_eq!(made.metadata().unwrap().uid(), owner, "{made:?}");
        }
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(make_folder(file.path()).is_err());
        assert!(make_folder(&file.path().join("below")).is_err());
    }
}
