//! Giving a database back at once, for a process that cannot wait for its own end.
//!
//! A thread that waits for a disk does not end before the disk answers, not even by SIGKILL. As long as it is there, the
//! kernel closes no descriptor of the process and keeps its locks: the application would wait for that disk too.

use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use super::leftovers;
use super::statx::known_identity;
use crate::fence;
use crate::protocol::Identity;

/// The files of a database on which this process has locks.
#[derive(Debug)]
pub struct LettingGo(Vec<Identity>);

impl LettingGo {
    /// Of the database at `path` (resolved) and its fence, which have to be open by now.
    pub fn of(path: &Path) -> Self {
        let index = leftovers::sidecars(path).nth(1).expect("the index of the log");
        // The fence comes last: members open the database as soon as they have it.
        let files = [path.to_owned(), index, fence::path_of(path)];
        Self(
            files
                .iter()
                .filter_map(|file| known_identity(file).ok())
                .collect(),
        )
    }

    /// Closes all descriptors of these files, and so unlocks them. The process has to end right after it: its other
    /// threads still believe in their locks.
    pub fn now(&self) {
        for locked in &self.0 {
            for (descriptor, _) in own_descriptors().filter(|(_, identity)| identity == locked) {
                // SAFETY: ends the use of the descriptor by whoever has it, and nobody is left to use it.
                unsafe { libc::close(descriptor) };
            }
        }
    }
}

/// The descriptors of this process, with the files that they mean, by way of `/proc`: a second descriptor of a file,
/// closed, would drop its locks.
pub fn own_descriptors() -> impl Iterator<Item = (RawFd, Identity)> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.into_iter().filter_map(|path| {
        let descriptor = path.file_name()?.to_str()?.parse().ok()?;
        // The client's file may lie on a disk that does not answer.
        Some((descriptor, known_identity(&path).ok()?))
    })
}
