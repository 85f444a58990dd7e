//! Writes a long file to the disk while it grows.
//!
//! A single sync at the end makes the application's own commits wait for all of it: 358 ms for a gigabyte instead of
//! 20. A sync after every step is as gentle, but then the disk idles while a step is copied, and the copy waits
//! while a step is written. So the kernel writes one step while the next one is copied, and never has more than two
//! to write.

use std::fs::File;
use std::io;

use crate::sys::{backup_disk, disk};

/// The length of one step, in bytes.
pub(crate) const STEP: u64 = 8 * 1024 * 1024;

/// The progress of a file that is written from front to back.
///
/// It makes nothing durable, because it does not write the metadata. That takes a sync at the end.
#[derive(Debug, Default)]
pub(crate) struct Writeback {
    begun: u64,
    written: u64,
}

impl Writeback {
    /// For a file that is written from `begin` on.
    pub(crate) fn from(begin: u64) -> Self {
        Self {
            begun: begin,
            written: begin,
        }
    }

    /// Begins to write back the whole steps of the first `length` bytes, and waits for all but the last of them.
    /// Must be called while the file grows, at least once a step.
    pub(crate) fn follow(&mut self, file: &File, length: u64) -> io::Result<()> {
        while length - self.begun >= STEP {
            write_back(file, self.begun, Wait::No)?;
            self.begun += STEP;
            if self.begun - self.written > STEP {
                write_back(file, self.written, Wait::Yes)?;
                self.written += STEP;
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Wait {
    No,
    Yes,
}

/// Writes one step. If the file system cannot write ranges, waiting for a step syncs the file.
fn write_back(file: &File, at: u64, wait: Wait) -> io::Result<()> {
    let written = match wait {
        Wait::No => disk::begin_write_back(file, at, STEP),
        Wait::Yes => disk::finish_write_back(file, at, STEP),
    };
    match written {
        Err(error) if error.raw_os_error() == Some(libc::ESPIPE) => sync(file, wait),
        Err(error) if backup_disk::cannot(&error) => sync(file, wait),
        written => written,
    }
}

fn sync(file: &File, wait: Wait) -> io::Result<()> {
    match wait {
        Wait::No => Ok(()),
        Wait::Yes => file.sync_data(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_two_steps_are_under_way() {
        let file = tempfile::tempfile().unwrap();
        let mut writeback = Writeback::default();
        for length in (0..10 * STEP).step_by(1024 * 1024) {
            file.set_len(length).unwrap();
            writeback.follow(&file, length).unwrap();
            assert!(length - writeback.begun < STEP);
            assert!(writeback.begun - writeback.written <= STEP);
        }
    }

    #[test]
    fn a_file_that_grows_by_many_steps_at_once_is_followed_as_well() {
        let file = tempfile::tempfile().unwrap();
        let mut writeback = Writeback::default();
        writeback.follow(&file, 5 * STEP + 1).unwrap();
        assert_eq!((writeback.begun, writeback.written), (5 * STEP, 4 * STEP));
    }
}
