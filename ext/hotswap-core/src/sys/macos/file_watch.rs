//! Reports when a file is written to, removed or moved: kqueue.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};

/// The files that this process watches. Its descriptor is readable while there is something to report.
pub struct FileWatches(Kqueue);

/// A file that is watched, until it is closed.
#[derive(Debug)]
pub struct Watch;

/// No wait.
const AT_ONCE: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

impl FileWatches {
    /// Watches no file yet. `None` if the kernel has no kqueue left.
    pub fn new() -> Option<Self> {
        Kqueue::new().ok().map(Self)
    }

    /// Watches an open file. `None` if the kernel does not watch it.
    pub fn watch(&self, file: &File) -> Option<Watch> {
        let event = KEvent::new(
            file.as_raw_fd() as usize,
            EventFilter::EVFILT_VNODE,
            EvFlags::EV_ADD | EvFlags::EV_CLEAR,
            FilterFlag::NOTE_WRITE | FilterFlag::NOTE_DELETE | FilterFlag::NOTE_RENAME,
            0,
            0,
        );
        let added = self.0.kevent(&[event], &mut [], Some(AT_ONCE));
        added.is_ok().then_some(Watch)
    }

    /// Watches the file no longer. The kernel forgets it when the caller closes it.
    pub fn unwatch(&self, _watch: Watch) {}

    /// Forgets what there is to report. Returns whether one of the files was removed or moved.
    pub fn forget(&self) -> bool {
        let none = KEvent::new(
            0,
            EventFilter::EVFILT_VNODE,
            EvFlags::empty(),
            FilterFlag::empty(),
            0,
            0,
        );
        let mut events = [none; 32];
        let mut moved = false;
        while let Ok(count @ 1..) = self.0.kevent(&[], &mut events, Some(AT_ONCE)) {
            let gone = FilterFlag::NOTE_DELETE | FilterFlag::NOTE_RENAME;
            moved |= events[..count]
                .iter()
                .any(|event| event.fflags().intersects(gone));
        }
        moved
    }
}

impl AsFd for FileWatches {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
