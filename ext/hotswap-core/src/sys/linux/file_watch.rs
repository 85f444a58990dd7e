//! Reports when a file is written to, removed or moved: inotify.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

/// The files that this process watches. Its descriptor is readable while there is something to report.
pub struct FileWatches(Inotify);

/// A file that is watched.
#[derive(Debug)]
pub struct Watch(WatchDescriptor);

impl FileWatches {
    /// Watches no file yet. `None` if the kernel has no inotify instance left.
    pub fn new() -> Option<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
        inotify.ok().map(Self)
    }

    /// Watches an open file. Uses the open descriptor: closing a second one would drop the locks. `None` if the
    /// kernel does not watch it.
    pub fn watch(&self, file: &File) -> Option<Watch> {
        let of_interest = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ATTRIB | AddWatchFlags::IN_MOVE_SELF;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.0.add_watch(path.as_str(), of_interest).ok().map(Watch)
    }

    /// Watches the file no longer.
    pub fn unwatch(&self, watch: Watch) {
        // The only possible error is that the kernel has removed the watch together with the file.
        let _ = self.0.rm_watch(watch.0);
    }

    /// Forgets what there is to report. Returns whether one of the files was removed or moved.
    pub fn forget(&self) -> bool {
        // EAGAIN means that there is nothing.
        let events = self.0.read_events().into_iter().flatten();
        let mut masks = events.map(|event| event.mask);
        masks.any(|mask| !(AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_IGNORED).contains(mask))
    }
}

impl AsFd for FileWatches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
