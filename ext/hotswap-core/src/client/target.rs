//! The file that a pull creates. It gets its name only when it is complete. Until then it has no name, or, if the
//! file system does not support that, a temporary one that is removed with the command.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Seek};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::signals;
use crate::error::{Context, Error, FileKind, Refused, Result, Usage};
use crate::holders::Strangers;
use crate::leftovers;
use crate::path::resolve;
use crate::sidecar::sidecars;
use crate::sys::backup_disk;
use crate::sys::processes::Bound;
use crate::sys::random;
use crate::sys::unnamed;
use crate::sys::unsupported::is_unsupported;
use crate::visible::{self, Shown};

/// The file that a pull writes, until it is in place.
pub(super) struct Target {
    file: File,
    path: PathBuf,
    draft: Option<PathBuf>,
    /// The mode of the new file: that of the file it replaces.
    mode: u32,
}

impl Target {
    /// Creates a file that can be put in place at `path` in one step.
    pub(super) fn create(path: &Path, raw: &str) -> Result<Self> {
        let bad_target = |kind| {
            let name = raw.into();
            Err(Usage::BadTarget { name, kind }.into())
        };
        if is_a_descriptor(path) {
            return bad_target(FileKind::Descriptor);
        }
        let path = resolve(path);
        let cannot_write = |source: std::io::Error, at: &Path| Refused::CannotWrite {
            name: raw.into(),
            at: at.to_owned(),
            source,
        };
        let existing = match std::fs::metadata(&path) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            // The target could be a folder or a device, and the mode for the new file is unknown.
            Err(error) => return Err(cannot_write(error, &path).into()),
        };
        if let Some(no_file) = existing.as_ref().filter(|metadata| !metadata.is_file()) {
            return bad_target(FileKind::of(no_file.file_type()));
        }
        if raw.ends_with('/') {
            return Err(Usage::NoDirectory { name: raw.into() }.into());
        }
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        leftovers::sweep_drafts(&path);
        let (file, draft) = create_in(&folder).map_err(|error| cannot_write(error, &folder))?;
        signals::set_draft(draft.clone());
        let mode = existing.map_or(0o600, |metadata| metadata.permissions().mode() & 0o777);
        let target = Self {
            file,
            path,
            draft,
            mode,
        };
        target.mark_and_dress(&target.file)?;
        Ok(target)
    }

    /// Locks `file` to show that its command is alive, and sets its mode, as far as the file system supports either.
    /// A file without a name gets the lock before its name, so that no other command removes it as a leftover.
    fn mark_and_dress(&self, file: &File) -> Result<()> {
        match leftovers::mark(file) {
            // Without locks, no other command can take the lock either, so none removes the file.
            Err(error) if !backup_disk::cannot(&error) => {
                return Err(error).on_path("cannot lock a file in", self.folder())
            }
            _ => {}
        }
        if self.mode_of(file)? == self.mode {
            return Ok(());
        }
        match file.set_permissions(std::fs::Permissions::from_mode(self.mode)) {
            Err(error) if !backup_disk::cannot(&error) => {
                Err(error).on_path("cannot set the mode of", &self.path)
            }
            _ => Ok(()),
        }
    }

    fn mode_of(&self, file: &File) -> Result<u32> {
        let metadata = file.metadata().on_path("cannot stat", &self.path)?;
        Ok(metadata.permissions().mode() & 0o777)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// A warning if the file in place does not have the mode that it should have.
    pub(super) fn doubt(&self) -> Option<String> {
        let mode = std::fs::metadata(&self.path).ok()?.permissions().mode() & 0o777;
        (mode != self.mode).then(|| {
            format!(
                "{} has mode {mode:o} instead of {:o}, because its file system did not set the mode. The permissions of its \
                 folder and its mount options decide who can read the backup",
                self.path.shown(),
                self.mode
            )
        })
    }

    /// The file to write to.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// The processes that would go on writing to the replaced file, and lose that data.
    pub(super) fn users(&self) -> Strangers {
        Strangers::writing_to(&self.path, Bound::Patient)
    }

    /// Gives the complete file its name, and makes that durable.
    pub(super) fn put_in_place(&mut self) -> Result<()> {
        let draft = match self.draft.clone() {
            Some(draft) => draft,
            None => self.give_it_a_name()?,
        };
        // SQLite would take an old WAL next to the target for one of the new file.
        let mut removed = false;
        for sidecar in sidecars(&self.path) {
            match std::fs::remove_file(&sidecar) {
                Ok(()) => removed = true,
                Err(error) if leftovers::is_absent(&error) => {}
                Err(error) => return Err(error).on_path("cannot remove", &sidecar),
            }
        }
        let folder = self.folder().to_owned();
        if removed {
            // The old WAL must not come back next to the new file after a power cut either.
            self.sync_folder().on_path("cannot sync", &folder)?;
        }
        std::fs::rename(&draft, &self.path).map_err(|error| self.not_renamed(error))?;
        self.draft = None;
        signals::set_draft(None);
        self.sync_folder().on_path(
            "the snapshot is in place, but a power cut may undo it: cannot sync",
            &folder,
        )
    }

    fn not_renamed(&self, source: std::io::Error) -> Error {
        let path = self.path.shown();
        let cannot = is_unsupported(&source) || source.raw_os_error() == Some(libc::EINVAL);
        let instead = match cannot {
            true => {
                format!(
                    ", because its file system cannot rename files (use hotswap cp ... - > {} instead)",
                    visible::word(&path)
                )
            }
            false => String::new(),
        };
        Error::io(
            format!("cannot put the snapshot in place at {path}{instead}"),
            source,
        )
    }

    /// Syncs the folder. A user who may write to the folder but not read it cannot open it for a sync: then the
    /// whole file system is synced.
    fn sync_folder(&self) -> std::io::Result<()> {
        match File::open(self.folder()) {
            Ok(folder) => backup_disk::sync_folder(&folder, &self.file),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => backup_disk::sync_all_of(&self.file),
            Err(error) => Err(error),
        }
    }

    /// Gives the file a temporary name. It is removed with the command until the file is in place.
    fn give_it_a_name(&mut self) -> Result<PathBuf> {
        let folder = self.folder().to_owned();
        let draft = draft_name(&folder)?;
        self.keep_draft(&draft);
        let linked = unnamed::link(&self.file, &draft);
        if linked.is_ok() {
            return Ok(draft);
        }
        // Some file systems support files without a name but no links, and some systems have no /proc.
        let mut copy = create_draft(&draft).on_path("cannot create", &draft)?;
        self.mark_and_dress(&copy)?;
        self.file
            .rewind()
            .and_then(|()| std::io::copy(&mut self.file, &mut copy))
            .and_then(|_| backup_disk::sync_content(&copy))
            .on_path("cannot write", &draft)?;
        self.file = copy;
        Ok(draft)
    }

    fn keep_draft(&mut self, draft: &Path) {
        self.draft = Some(draft.to_owned());
        signals::set_draft(self.draft.clone());
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(draft) = self.draft.take() {
            let _ = std::fs::remove_file(draft);
            signals::set_draft(None);
        }
    }
}

/// Whether `path`, such as /dev/stdout, leads to a descriptor of a process by way of `/proc` or `/dev/fd`.
fn is_a_descriptor(path: &Path) -> bool {
    let mut path = path.to_owned();
    // As many links as the kernel follows.
    for _ in 0..40 {
        let Some(folder) = path.parent().and_then(|folder| folder.canonicalize().ok()) else {
            return false;
        };
        if folder == Path::new("/dev/fd") || folder.starts_with("/proc") && folder.ends_with("fd") {
            return true;
        }
        match path.read_link() {
            Ok(to) => path = folder.join(to),
            Err(_) => return false,
        }
    }
    false
}

fn create_in(folder: &Path) -> std::io::Result<(File, Option<PathBuf>)> {
    if let Ok(file) = unnamed::create(folder) {
        return Ok((file, None));
    }
    // File systems refuse a file without a name with various errors. If the folder itself is the problem, creating a
    // named file fails with the same error.
    let draft = draft_name(folder).map_err(std::io::Error::other)?;
    Ok((create_draft(&draft)?, Some(draft)))
}

fn create_draft(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

fn draft_name(folder: &Path) -> Result<PathBuf> {
    Ok(leftovers::draft(folder, random::number()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn the_name_appears_with_the_complete_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.sqlite3");
        std::fs::write(folder.path().join("backup.sqlite3-wal"), b"of an earlier one").unwrap();
        let mut target = Target::create(&path, "backup.sqlite3").unwrap();
        target.file().write_all(b"content").unwrap();
        assert!(!path.exists());
        target.put_in_place().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"content");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_pull_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.sqlite3");
        std::fs::write(&path, b"yesterday's").unwrap();
        let mut target = Target::create(&path, "backup.sqlite3").unwrap();
        target.file.write_all(b"half").unwrap();
        drop(target);
        assert_eq!(std::fs::read(&path).unwrap(), b"yesterday's");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_that_leads_nowhere_yet_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("backups")).unwrap();
        let (link, other) = (folder.path().join("latest"), folder.path().join("newest"));
        std::os::unix::fs::symlink("backups/today.sqlite3", &link).unwrap();
        std::os::unix::fs::symlink("latest", &other).unwrap();
        let mut target = Target::create(&other, "newest").unwrap();
        target.file.write_all(b"content").unwrap();
        target.put_in_place().unwrap();
        assert!(link.is_symlink() && other.is_symlink());
        assert_eq!(
            std::fs::read(folder.path().join("backups/today.sqlite3")).unwrap(),
            b"content"
        );
    }

    #[test]
    fn a_folder_that_is_missing_or_a_folder_as_target_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| Target::create(path, "x").err().unwrap().to_string();
        assert!(refused(&folder.path().join("missing/x")).contains("cannot write x: No such file"));
        assert!(refused(folder.path()).contains("is a folder"));
    }
}
