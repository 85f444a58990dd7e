//! What a file looks like from outside, to notice that it was written to.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::time::{clock_gettime, ClockId};
use serde::{Deserialize, Serialize};

/// How often it is looked at a file that was written to in this very tick of the kernel's clock. A tick has 10 ms at most,
/// and each look takes one.
const LOOKS: u32 = 20;

/// See the module.
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
    /// Of a file that was looked at.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The same of an open file, once every later change gives it another stamp: the kernel's clock, which has ticks, is past
    /// the last one. Where another machine's clock decides, nobody can know that.
    pub fn settled(file: &File) -> io::Result<Self> {
        let mut stamp = Self::of(&file.metadata()?);
        for _ in 0..LOOKS {
            let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?;
            if stamp.changed < (now.tv_sec(), now.tv_nsec()) {
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
