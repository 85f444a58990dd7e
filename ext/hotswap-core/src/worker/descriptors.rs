//! Releases a database at once, for a process that cannot wait for its own end.
//!
//! A thread that waits for a disk does not end before the disk answers, not even by SIGKILL. Until then the kernel
//! closes no descriptor of the process and keeps its locks, so the application would wait for that disk too.

use std::path::Path;

use crate::fence;
use crate::sidecar::sidecars;
use crate::sys::descriptors;
use crate::sys::identity::Identity;
use crate::sys::stat::known_identity;

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
            for (descriptor, _) in descriptors::own().filter(|(_, identity)| identity == locked) {
                // Ends the use of the descriptor in every thread. The process ends before another thread can use it.
                let _ = nix::unistd::close(descriptor);
            }
        }
    }
}
