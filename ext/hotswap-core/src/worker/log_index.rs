//! What a log (`-wal`) holds, by its index (`-shm`).

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The header of the shared index (`-shm`): how far the log is committed, and how far it is in the main file.
/// <https://www.sqlite.org/walformat.html#the_wal_index_file_format>
#[derive(Debug, PartialEq, Eq)]
pub struct LogIndex {
    /// How many frames of the log are committed.
    pub frames: u32,
    /// How many pages the database has after them.
    pub pages: u32,
    /// How many of them a checkpoint has brought into the main file.
    pub backfilled: u32,
    salt: [u8; 8],
}

const INDEX_HEADER: usize = 48;
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// How much of the log is read at a time, in bytes: a call for every frame costs more than the reading.
const AT_ONCE: u64 = 1024 * 1024;

impl LogIndex {
    /// Reads the header as SQLite does: until both copies of it agree, and a second look as well.
    pub fn read(index: &File) -> std::io::Result<Self> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let (mut first, mut second) = ([0; 136], [0; 136]);
            index.read_exact_at(&mut first, 0)?;
            index.read_exact_at(&mut second, 0)?;
            let copies_agree = first[..INDEX_HEADER] == first[INDEX_HEADER..2 * INDEX_HEADER];
            if copies_agree && first[..100] == second[..100] && first[12] == 1 {
                return Ok(Self::parse(&first));
            }
            if Instant::now() > deadline {
                return Err(std::io::Error::other(
                    "the index of the log does not come to rest",
                ));
            }
        }
    }

    fn parse(bytes: &[u8; 136]) -> Self {
        let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        Self {
            frames: word(16),
            pages: word(20),
            salt: bytes[32..40].try_into().expect("eight bytes"),
            backfilled: word(96),
        }
    }

    /// Where in the log the newest committed content of each page lies.
    pub fn newest_frames(&self, log: &File, page_size: u64) -> std::io::Result<BTreeMap<u32, u64>> {
        let frame = FRAME_HEADER + page_size;
        let at_once = (AT_ONCE / frame).max(1);
        let mut newest = BTreeMap::new();
        let mut buffer = vec![0; (at_once * frame) as usize];
        let mut number = 0;
        while number < u64::from(self.frames) {
            let count = at_once.min(u64::from(self.frames) - number);
            let begin = LOG_HEADER + number * frame;
            let bytes = &mut buffer[..(count * frame) as usize];
            log.read_exact_at(bytes, begin)?;
            for (nth, header) in bytes.chunks_exact(frame as usize).enumerate() {
                if header[8..16] != self.salt {
                    return Err(std::io::Error::other(
                        "a frame belongs to another generation of the log",
                    ));
                }
                let page = u32::from_be_bytes(header[..4].try_into().expect("four bytes"));
                if page <= self.pages {
                    newest.insert(page, begin + nth as u64 * frame + FRAME_HEADER);
                }
            }
            number += count;
        }
        Ok(newest)
    }
}
