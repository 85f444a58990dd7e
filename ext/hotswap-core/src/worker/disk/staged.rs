//! The staged file: the incoming database, next to the live one, under its own name.
//!
//! It deletes itself and the files that SQLite put next to it, unless it was promoted. Its
//! [mark](crate::leftovers::mark) distinguishes it from a file that a dead worker left behind.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use tempfile::TempPath;

use super::flusher::Flusher;
use crate::error::{BadFile, Context, Result};
use crate::leftovers;
use crate::previous::Hidden;
use crate::sidecar::sidecars;
use crate::sys::attributes;
use crate::sys::birth;
use crate::sys::copy::{copy_range, reflink};
use crate::sys::unsupported::is_unsupported;
use crate::worker::sqlite::header::JOURNAL_BYTES;

/// How much is written or copied at once, in bytes. On a kernel built for servers no other thread runs on the
/// processor until the call is done.
pub(crate) const PIECE: usize = 64 * 1024;

/// Inode, length and time of the last change.
pub(crate) type Stamp = (u64, u64, i64, i64);

/// A staged file, with its flusher and its length.
#[derive(Debug)]
pub(crate) struct Staged {
    path: TempPath,
    file: Option<Arc<File>>,
    flusher: Flusher,
    length: u64,
}

impl Staged {
    /// Creates an empty staged file next to `live`, readable only by its owner.
    pub(crate) fn create(live: &Path) -> Result<Self> {
        let folder = live.parent().unwrap_or(Path::new("/"));
        let (file, path) = loop {
            let named = tempfile::Builder::new()
                .prefix(&leftovers::prefix(live))
                .suffix(leftovers::STAGED)
                .tempfile_in(folder)
                .on_path("cannot create a file in", folder)?;
            let (file, path) = named.into_parts();
            leftovers::mark(&file).on_path("cannot lock", &path)?;
            // Another push has swept the file before it was marked.
            if file.metadata().on_path("cannot stat", &path)?.nlink() > 0 {
                break (file, path);
            }
        };
        Ok(Self {
            path,
            file: Some(Arc::new(file)),
            flusher: Flusher::default(),
            length: 0,
        })
    }

    /// The same for a file that is removed after it was read, so it need not be on the disk.
    pub(crate) fn create_temporary(live: &Path) -> Result<Self> {
        let mut staged = Self::create(live)?;
        staged.flusher = Flusher::of_temporary();
        Ok(staged)
    }

    /// Takes a file that is there already, such as a previous version. If it is not promoted, it stays.
    pub(crate) fn adopt(path: &Path) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(path)
            .on_path("cannot open", path)?;
        let mut path = TempPath::try_from_path(path).on_path("cannot use", path)?;
        path.disable_cleanup(true);
        Ok(Self {
            length: file.metadata().on_path("cannot stat", &path)?.len(),
            path,
            file: Some(Arc::new(file)),
            flusher: Flusher::default(),
        })
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The length, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// Whether nothing has been written yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether the file is the live one now.
    pub(crate) fn is_promoted(&self) -> bool {
        self.file.is_none()
    }

    /// The file itself, until it is [promoted](Staged::promote).
    pub(crate) fn file(&self) -> &File {
        self.file
            .as_ref()
            .expect("the descriptor is given up with the last step only")
    }

    /// Appends `bytes`.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE) {
            self.file()
                .write_all_at(piece, self.length)
                .on_path("cannot write", &self.path)?;
            self.grown_by(piece.len() as u64)?;
        }
        Ok(())
    }

    /// Appends `length` bytes of `source`. The kernel copies them, or shares their blocks if the file system can.
    /// Calls `copied` with the number of bytes so far after each step.
    pub(crate) fn append_file(
        &mut self,
        source: &File,
        length: u64,
        mut copied: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        if self.is_empty() && reflink(source, self.file()) {
            self.length = self.file().metadata().on_path("cannot stat", &self.path)?.len();
            return copied(self.length);
        }
        let begin = self.length;
        while self.length - begin < length {
            let step = (PIECE as u64).min(length - (self.length - begin));
            let moved = copy_range(source, self.length - begin, self.file(), self.length, step)
                .on_path("cannot copy into", &self.path)?;
            if moved == 0 {
                return Err(BadFile::Changed {
                    name: "the source".into(),
                }
                .into());
            }
            self.grown_by(moved)?;
            copied(self.length)?;
        }
        Ok(())
    }

    fn grown_by(&mut self, bytes: u64) -> Result<()> {
        self.length += bytes;
        let file = self.file.as_ref().expect("what grows has not been promoted");
        self.flusher
            .grown(file, self.length)
            .on_path("cannot write", &self.path)
    }

    /// Reads the first bytes; fewer if the file is shorter.
    pub(crate) fn head(&self) -> Result<[u8; 100]> {
        let mut head = [0; 100];
        let length = head.len().min(self.length as usize);
        self.file()
            .read_exact_at(&mut head[..length], 0)
            .on_path("cannot read", &self.path)?;
        Ok(head)
    }

    /// Overwrites the bytes at `at`.
    pub(crate) fn patch(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        self.file()
            .write_all_at(bytes, at)
            .on_path("cannot write", &self.path)
    }

    /// Makes the header say whether the database is in WAL mode.
    pub(crate) fn set_wal(&mut self, wal: bool) -> Result<()> {
        let version = if wal { 2 } else { 1 };
        self.patch(&[version, version], JOURNAL_BYTES)
    }

    /// Updates the length after SQLite has worked on the file.
    pub(crate) fn remeasure(&mut self) -> Result<()> {
        self.length = self.file().metadata().on_path("cannot stat", &self.path)?.len();
        Ok(())
    }

    /// Copies owner, group, mode and attributes of the live file.
    pub(crate) fn copy_ownership_from(&mut self, path: &Path) -> Result<()> {
        let live = std::fs::metadata(path).on_path("cannot stat", path)?;
        let own = self.file().metadata().on_path("cannot stat", &self.path)?;
        if (own.uid(), own.gid()) != (live.uid(), live.gid()) {
            let give = |owner| std::os::unix::fs::fchown(self.file(), owner, Some(live.gid()));
            // Only root gives a file to another user; a member of a group can give it to the group. If neither is
            // allowed, neither is needed: the preflight has checked that.
            match give(Some(live.uid())).or_else(|_| give(None)) {
                Err(error) if error.kind() != ErrorKind::PermissionDenied && !is_unsupported(&error) => {
                    return Err(error).on_path("cannot set the owner of", &self.path);
                }
                _ => {}
            }
        }
        let mode = std::fs::Permissions::from_mode(live.mode() & 0o7777);
        self.file()
            .set_permissions(mode)
            .on_path("cannot set the mode of", &self.path)?;
        attributes::keep(path, self.file());
        Ok(())
    }

    /// Gives the file the owner and the mode that the application would give to a new database at `path`.
    pub(crate) fn own_as_new(&mut self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        birth::give_to_owner_of(folder, self.file()).on_path("cannot set the owner of", &self.path)?;
        self.file()
            .set_permissions(std::fs::Permissions::from_mode(birth::mode_of_a_database()))
            .on_path("cannot set the mode of", &self.path)
    }

    /// Makes everything durable. Stops waiting when `wanted` fails.
    pub(crate) fn sync(&mut self, wanted: impl FnMut() -> Result<()>) -> Result<()> {
        self.flusher
            .caught_up(wanted)?
            .on_path("cannot write", &self.path)?;
        self.file().sync_all().on_path("cannot sync", &self.path)
    }

    /// Inode, length and time of the last change, to notice another writer.
    pub(crate) fn stamp(&self) -> Result<Stamp> {
        let metadata = std::fs::metadata(&self.path).on_path("cannot stat", &self.path)?;
        Ok((
            metadata.ino(),
            metadata.len(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        ))
    }

    /// Refuses if the file has changed since `stamp` was taken.
    pub(crate) fn require_unchanged(&self, stamp: Stamp) -> Result<()> {
        if self.stamp()? == stamp {
            return Ok(());
        }
        Err(BadFile::StagedChanged.into())
    }

    /// Makes the file, which is complete and durable, the newest previous version of the database at `live`. If this
    /// worker is killed while the other versions move down, the next one finishes.
    pub(crate) fn become_version(mut self, live: &Path) -> Result<()> {
        let hidden = Hidden::cover(&self.path, live).on_path("cannot rename the copy of", live)?;
        self.path.disable_cleanup(true);
        hidden.settle().on_path("cannot rename the copy of", live)
    }

    /// Moves the file to the live path: the commit point of a swap.
    ///
    /// Closes its descriptor at once: an open one would make the kernel refuse the next swap a lease on what is now
    /// the live file. No lock is lost, because SQLite has only the replaced file open in this process.
    pub(crate) fn promote(&mut self, live: &Path) -> Result<()> {
        std::fs::rename(&self.path, live).on_path("cannot rename the staged file to", live)?;
        self.path.disable_cleanup(true);
        self.file = None;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Removed before the staged file itself, because its name is what identifies them.
        sidecars(&self.path).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::worker::disk::writeback::STEP;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_staged_file_that_is_not_promoted_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut staged = Staged::create(&folder.path().join("live.sqlite3")).unwrap();
        staged.append(b"half").unwrap();
        assert_eq!(std::fs::metadata(staged.path()).unwrap().mode() & 0o777, 0o600);
        sidecars(staged.path()).for_each(|path| std::fs::write(path, b"").unwrap());
        assert_eq!(names(folder.path()).len(), 4);
        drop(staged);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_promoted_file_is_the_live_one_with_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live.sqlite3");
        std::fs::write(&live, b"old").unwrap();
        std::fs::set_permissions(&live, std::fs::Permissions::from_mode(0o664)).unwrap();
        let mut staged = Staged::create(&live).unwrap();
        staged.append(b"ne").unwrap();
        staged.append(b"w").unwrap();
        staged.copy_ownership_from(&live).unwrap();
        staged.promote(&live).unwrap();
        drop(staged);
        assert_eq!(std::fs::read(&live).unwrap(), b"new");
        assert_eq!(std::fs::metadata(&live).unwrap().mode() & 0o777, 0o664);
        assert_eq!(names(folder.path()), ["live.sqlite3"]);
    }

    #[test]
    fn a_file_is_copied_whole_and_the_senders_offset_is_left_alone() {
        use std::io::{Seek, Write};
        let folder = tempfile::tempdir().unwrap();
        let mut source = tempfile::tempfile().unwrap();
        let data: Vec<u8> = (0..STEP as usize + 4097).map(|i| (i % 253) as u8).collect();
        source.write_all(&data).unwrap();
        let offset = source.stream_position().unwrap();
        let mut staged = Staged::create(&folder.path().join("live.sqlite3")).unwrap();
        staged
            .append_file(&source, data.len() as u64, |_| Ok(()))
            .unwrap();
        assert!(std::fs::read(staged.path()).unwrap() == data);
        assert_eq!(source.stream_position().unwrap(), offset);
    }

    #[test]
    fn a_source_that_shrinks_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let source = tempfile::tempfile().unwrap();
        source.set_len(10).unwrap();
        let mut staged = Staged::create(&folder.path().join("live.sqlite3")).unwrap();
        // The blocks of a whole file can be shared. What comes after other bytes has to be copied.
        staged.append(b"before").unwrap();
        let appended = staged.append_file(&source, 20, |_| Ok(()));
        assert!(matches!(appended, Err(Error::Refused(_))), "{appended:?}");
    }
}
