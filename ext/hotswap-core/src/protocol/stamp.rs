//! The metadata of a file, to notice when it has been written to.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::sys::stat;

/// How often a file is checked that was written to within the current tick of the kernel's clock. A tick takes at
/// most 10 ms, and each check takes one.
const LOOKS: u32 = 20;

/// The length and the times of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// In bytes.
    pub length: u64,
    /// `st_mtime`, in seconds and nanoseconds.
    modified: (i64, i64),
    /// `st_ctime`, likewise. It changes with the number of names, too.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp in `metadata`.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The stamp of an open file, once every later change will give the file another stamp: the kernel's clock has
    /// ticks, and must be past the tick of the last change. If another machine's clock sets the times, there is no
    /// way to tell.
    pub fn settled(file: &File) -> io::Result<Self> {
        let mut stamp = Self::of(&file.metadata()?);
        for _ in 0..LOOKS {
            if stamp.changed < stat::now()? {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            stamp = Self::of(&file.metadata()?);
        }
        Ok(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_change_of_the_same_length_in_the_next_moment_is_noticed() {
        let file = tempfile::tempfile().unwrap();
        for round in 0..50 {
            file.write_all_at(&[round], 0).unwrap();
            let stamp = Stamp::settled(&file).unwrap();
            file.write_all_at(&[round + 1], 0).unwrap();
            assert_ne!(Stamp::of(&file.metadata().unwrap()), stamp);
        }
    }
}
