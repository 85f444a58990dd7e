//! The part of a staged file that is written but not yet on the disk. A thread writes it to the disk while the file
//! grows and while it is checked.
//!
//! The disk is slower than copying, and SQLite's check needs no disk at all. In parallel, the two take only as long
//! as the slower of them. The thread works [step by step](super::writeback), so a commit of the application waits
//! for at most two steps, no matter how long the backlog is.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::sync::mpsc::{sync_channel, Receiver, SyncSender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use super::writeback::{Writeback, STEP};
use crate::sys::memory;

/// How often a thread that waits for the disk checks whether it still has to.
const GLANCE: Duration = Duration::from_millis(2);

/// A staged file's backlog, and the thread that works it off. When this value or the file is dropped, the thread
/// ends after its current step.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    /// The end of the last step that the thread has been given, in bytes.
    passed_on: u64,
    /// How many bytes stay in memory alone.
    held_back: u64,
    thread: Option<Thread>,
}

#[derive(Debug)]
struct Thread {
    steps: SyncSender<u64>,
    handle: JoinHandle<io::Result<()>>,
}

impl Flusher {
    /// For a file that is removed after it was read. The disk gets only what does not [fit](memory::may_wait) into memory.
    pub(crate) fn of_temporary() -> Self {
        Self {
            held_back: memory::may_wait(),
            ..Self::default()
        }
    }

    /// Reports that `file` now has `length` bytes. Waits while the backlog is larger than the machine should
    /// [hold](memory::may_wait).
    ///
    /// The thread gets the priority of the thread that calls this first.
    pub(crate) fn grown(&mut self, file: &Arc<File>, length: u64) -> io::Result<()> {
        while length - self.passed_on >= STEP + self.held_back {
            let step = self.passed_on + STEP;
            let thread = match &mut self.thread {
                Some(thread) => thread,
                none => {
                    let backlog = memory::may_wait().saturating_sub(self.held_back);
                    none.insert(Thread::start(file, backlog / STEP)?)
                }
            };
            if thread.steps.send(step).is_err() {
                let Ok(outcome) = self.caught_up(|| Ok::<(), Infallible>(()));
                return outcome;
            }
            self.passed_on = step;
        }
        Ok(())
    }

    /// Waits until every whole step is on its way to the disk, and ends the thread. Stops waiting when `wanted`
    /// fails. The data is durable only after a sync that follows.
    pub(crate) fn caught_up<E>(
        &mut self,
        mut wanted: impl FnMut() -> Result<(), E>,
    ) -> Result<io::Result<()>, E> {
        let Some(Thread { steps, handle }) = self.thread.take() else {
            return Ok(Ok(()));
        };
        drop(steps);
        while !handle.is_finished() {
            wanted()?;
            std::thread::sleep(GLANCE);
        }
        // Passes on a panic of the thread.
        Ok(handle
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

impl Thread {
    fn start(file: &Arc<File>, most: u64) -> io::Result<Self> {
        let (steps, passed_on) = sync_channel(most as usize);
        // Weak, so that an abandoned staged file is closed without being written to the disk first.
        let file = Arc::downgrade(file);
        let handle = std::thread::Builder::new()
            .name("flusher".into())
            .spawn(move || follow(&file, passed_on))?;
        Ok(Self { steps, handle })
    }
}

fn follow(file: &Weak<File>, steps: Receiver<u64>) -> io::Result<()> {
    let mut writeback = Writeback::default();
    for step in steps {
        let Some(file) = file.upgrade() else {
            break;
        };
        writeback.follow(&file, step)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eventually;

    fn caught_up(flusher: &mut Flusher) -> io::Result<()> {
        let Ok(outcome) = flusher.caught_up(|| Ok::<(), Infallible>(()));
        outcome
    }

    #[test]
    fn a_short_file_needs_no_thread() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut flusher = Flusher::default();
        flusher.grown(&file, STEP - 1).unwrap();
        assert!(flusher.thread.is_none());
        caught_up(&mut flusher).unwrap();
    }

    #[test]
    fn the_disk_gets_only_what_is_not_held_back() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut flusher = Flusher {
            held_back: 5 * STEP,
            ..Flusher::default()
        };
        flusher.grown(&file, 6 * STEP - 1).unwrap();
        assert!(flusher.thread.is_none());
        flusher.grown(&file, 7 * STEP).unwrap();
        assert_eq!(flusher.passed_on, 2 * STEP);
        caught_up(&mut flusher).unwrap();
    }

    #[test]
    fn nothing_of_it_is_left_once_it_has_caught_up() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let mut flusher = Flusher::default();
        for length in (0..10 * STEP).step_by(1024 * 1024) {
            file.set_len(length).unwrap();
            flusher.grown(&file, length).unwrap();
        }
        caught_up(&mut flusher).unwrap();
        assert!(flusher.thread.is_none());
        assert_eq!(Arc::strong_count(&file), 1);
    }

    #[test]
    fn a_disk_that_fails_is_told_of() {
        let (_reader, writer) = std::io::pipe().unwrap();
        // A pipe cannot be written to a disk.
        let pipe = Arc::new(File::from(std::os::fd::OwnedFd::from(writer)));
        let mut flusher = Flusher::default();
        let told = flusher
            .grown(&pipe, 3 * STEP)
            .and_then(|()| caught_up(&mut flusher));
        assert!(told.is_err());
    }

    #[test]
    fn the_wait_ends_with_the_client() {
        let (steps, _passed_on) = sync_channel(1);
        let (_never, told) = sync_channel::<()>(1);
        let handle = std::thread::spawn(move || {
            let _ = told.recv();
            Ok(())
        });
        let mut flusher = Flusher {
            passed_on: STEP,
            held_back: 0,
            thread: Some(Thread { steps, handle }),
        };
        assert!(matches!(
            flusher.caught_up(|| Err("the client disconnected")),
            Err("the client disconnected")
        ));
    }

    #[test]
    fn a_file_that_is_given_up_is_closed() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let weak = Arc::downgrade(&file);
        file.set_len(4 * STEP).unwrap();
        let mut flusher = Flusher::default();
        flusher.grown(&file, 4 * STEP).unwrap();
        drop((file, flusher));
        eventually(|| weak.strong_count() == 0);
    }
}
