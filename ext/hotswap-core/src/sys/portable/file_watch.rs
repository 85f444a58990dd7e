//! Reports when a file is written to: not supported, so members poll.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

/// The files that this process watches. There is no such value.
pub enum FileWatches {}

/// A file that is watched. There is no such value.
#[derive(Debug)]
pub enum Watch {}

impl FileWatches {
    /// `None`: nothing reports.
    pub fn new() -> Option<Self> {
        None
    }

    /// Watches an open file.
    pub fn watch(&self, _file: &File) -> Option<Watch> {
        match *self {}
    }

    /// Watches the file no longer.
    pub fn unwatch(&self, _watch: Watch) {
        match *self {}
    }

    /// Forgets what there is to report.
    pub fn forget(&self) -> bool {
        match *self {}
    }
}

impl AsFd for FileWatches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}
