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
        let number = getrandom::u64().ok()?;
        let path = folder()?.join(format!("{name}.{made_by}.{number:016x}"));
        fork::without_fork(|| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(0o600);
            let file = options.open(&path).ok()?;
            let private = CloseInChild::keep(&file);
            file_lock::try_lock(&file).then_some(())?;
            Some(Self {
                _private: private,
                file,
                path,
                made_by,
            })
        })
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
    let entries = folder().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        if let Some(pid) = publisher(entry.file_name(), name) {
            let content = content_of(&entry.path(), pid == std::process::id());
            found.entry(pid).or_default().extend(content);
        }
    }
    found.into_iter().filter(|(_, content)| !content.is_empty())
}

fn publisher(file: OsString, name: &str) -> Option<u32> {
    let file = file.into_string().ok()?;
    let (pid, _number) = file.strip_prefix(name)?.strip_prefix('.')?.split_once('.')?;
    pid.parse().ok()
}

fn content_of(path: &Path, is_own: bool) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    // The file is opened once more, so a lock of this process itself is in the way, too.
    if file_lock::try_lock(&file) {
        if !is_own {
            let _ = std::fs::remove_file(path);
        }
        return None;
    }
    checksummed::read(&file)
}

/// The folder of this user. `None` if another user has made it.
fn folder() -> Option<PathBuf> {
    let user = nix::unistd::geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("hotswap-{user}"));
    // An error means that it exists, or it shows in the next line.
    let _ = DirBuilder::new().mode(0o700).create(&folder);
    let metadata = std::fs::symlink_metadata(&folder).ok()?;
    (metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0).then_some(folder)
}
