//! Releases a database at once, for a process that cannot wait for its own end.
//!
//! A thread that waits for a disk does not end before the disk answers, not even by SIGKILL. Until then the kernel
//! closes no descriptor of the process and keeps its locks, so the application would wait for that disk too.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use crate::fence;
use crate::sidecar::sidecars;
use crate::sys::identity::Identity;
use crate::sys::statx::known_identity;

/// The files of a database that this process has locked.
#[derive(Debug)]
pub(super) struct LockedFiles(Vec<Identity>);

impl LockedFiles {
    /// For the database at `path` (resolved) and its fence. Both have to be open by now.
    pub(super) fn of(path: &Path) -> Self {
        let index = sidecars(path).nth(1).expect("the index of the log");
        // The fence comes last: members open the database as soon as they have the fence lock.
        let files = [path.to_owned(), index, fence::path_of(path)];
        Self(
            files
                .iter()
                .filter_map(|file| known_identity(file).ok())
                .collect(),
        )
    }

    /// Closes all descriptors of these files, which unlocks them. The process has to end right afterwards, because
    /// its other threads still rely on their locks.
    pub(super) fn now(&self) {
        for locked in &self.0 {
            for (descriptor, _) in own_descriptors().filter(|(_, identity)| identity == locked) {
                // Ends the use of the descriptor in every thread. The process ends before another thread can use it.
                let _ = nix::unistd::close(descriptor);
            }
        }
    }
}

/// The descriptors of this process and their files, found in `/proc`: closing a second descriptor of a file would
/// drop its locks.
pub(super) fn own_descriptors() -> impl Iterator<Item = (RawFd, Identity)> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.into_iter().filter_map(|path| {
        let descriptor = path.file_name()?.to_str()?.parse().ok()?;
        // Asks no file system, because the client's file may be on a disk that does not answer.
        Some((descriptor, known_identity(&path).ok()?))
    })
}
