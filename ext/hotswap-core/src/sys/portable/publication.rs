//! A file in which a process publishes something about itself, for other processes of the same user.
//!
//! It lies in a folder of the user. The process keeps it locked, so a file without a lock is of a dead process, and
//! the next reader removes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::sys::checksummed;
use crate::sys::file_lock;
use crate::sys::fork::{self, CloseInChild};

/// A publication of this process. A forked child does not keep it.
#[derive(Debug)]
pub struct Publication {
    // Dropped before the file that it refers to.
    _private: CloseInChild,
    file: File,
    path: PathBuf,
    made_by: u32,
}

impl Publication {
    /// A publication without content. `None` if the file cannot be made.
    pub fn new(name: &str) -> Option<Self> {
        let made_by = std::process::id();
        let folder = folder()?;
        loop {
            let number = getrandom::u64().ok()?;
            let path = folder.join(format!("{name}.{made_by}.{number:016x}"));
            let (file, private) = fork::without_fork(|| {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create_new(true).mode(0o600);
                let file = options.open(&path).ok()?;
                let private = CloseInChild::keep(&file);
                file_lock::lock(&file).ok()?;
                Some((file, private))
            })?;
            // A reader that found the file before it was locked has removed it.
            if file.metadata().ok()?.nlink() > 0 {
                return Some(Self {
                    _private: private,
                    file,
                    path,
                    made_by,
                });
            }
        }
    }

    /// Replaces the content.
    pub fn publish(&self, content: &[u8]) {
        checksummed::write(&self.file, content);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        // In a forked child, the file is the parent's.
        if std::process::id() == self.made_by {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What each process of this user publishes under `name`.
pub fn all(name: &str) -> impl Iterator<Item = (u32, Vec<Vec<u8>>)> {
    let mut found: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for (pid, path) in files(name) {
        found.entry(pid).or_default().extend(content_of(pid, &path));
    }
    found.into_iter().filter(|(_, content)| !content.is_empty())
}

/// What the process publishes under `name`. Opens no file of another process.
pub fn of(publisher: u32, name: &str) -> Vec<Vec<u8>> {
    let own = files(name).filter(|(pid, _)| *pid == publisher);
    own.filter_map(|(pid, path)| content_of(pid, &path)).collect()
}

/// The files under `name`, each with the process that has made it.
fn files(name: &str) -> impl Iterator<Item = (u32, PathBuf)> + '_ {
    let entries = folder().and_then(|folder| std::fs::read_dir(folder).ok());
    let entries = entries.into_iter().flatten().flatten();
    entries.filter_map(move |entry| Some((publisher(entry.file_name(), name)?, entry.path())))
}

fn publisher(file: OsString, name: &str) -> Option<u32> {
    let file = file.into_string().ok()?;
    let (pid, _number) = file.strip_prefix(name)?.strip_prefix('.')?.split_once('.')?;
    pid.parse().ok()
}

fn content_of(publisher: u32, path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    // The file is opened once more, so a lock of this process itself is in the way, too.
    if file_lock::try_lock(&file) {
        if publisher != std::process::id() {
            let _ = std::fs::remove_file(path);
        }
        return None;
    }
    checksummed::read(&file)
}

/// The folder of this user. `None` if another user has made it.
fn folder() -> Option<PathBuf> {
    let user = nix::unistd::geteuid().as_raw();
    let folder = place().join(format!("hotswap-{user}"));
    // An error means that it exists, or it shows in the next line.
    let _ = DirBuilder::new().mode(0o700).create(&folder);
    let metadata = std::fs::symlink_metadata(&folder).ok()?;
    (metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0).then_some(folder)
}

/// Where that folder lies: the processes of a user must agree on it.
#[cfg(not(target_os = "macos"))]
fn place() -> PathBuf {
    std::env::temp_dir()
}

/// Where that folder lies. Not where temporary files are: macOS removes those that no program has read for three days,
/// and processes of one user may have different values of TMPDIR.
#[cfg(target_os = "macos")]
fn place() -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut path = vec![0_u8; libc::PATH_MAX as usize];
    // SAFETY: the vector has as much room as the call is told.
    let length = unsafe {
        libc::confstr(
            libc::_CS_DARWIN_USER_CACHE_DIR,
            path.as_mut_ptr().cast(),
            path.len(),
        )
    };
    match length {
        // It counts the zero byte at the end.
        2.. if length <= path.len() => {
            path.truncate(length - 1);
            OsString::from_vec(path).into()
        }
        _ => std::env::temp_dir(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_reader_does_not_keep_a_publication_from_being_made() {
        let name = "hotswap-test-of-readers";
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let read = || {
                while !over.load(Ordering::Relaxed) {
                    all(name).for_each(drop);
                }
            };
            scope.spawn(read);
            scope.spawn(read);
            let made: Vec<_> = (0..300).map(|_| Publication::new(name)).collect();
            over.store(true, Ordering::Relaxed);
            assert!(made.iter().all(Option::is_some));
        });
    }

    #[test]
    fn one_process_is_asked_alone() {
        let name = "hotswap-test-of-one";
        let publication = Publication::new(name).unwrap();
        publication.publish(b"content");
        assert_eq!(of(std::process::id(), name), [b"content"]);
        assert!(of(1, name).is_empty());
    }
}
