//! What the WAL contains, according to the WAL index (`-shm`).

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// The header of the WAL index: how many frames of the WAL are committed, and how many are in the main file.
/// <https://www.sqlite.org/walformat.html#the_wal_index_file_format>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogIndex {
    /// The number of committed frames in the WAL.
    pub frames: u32,
    /// The number of pages in the database after these frames.
    pub pages: u32,
    /// The number of frames that a checkpoint has copied into the main file.
    pub backfilled: u32,
    salt: [u8; 8],
}

const INDEX_HEADER: usize = 48;
/// The length of the WAL's header, in bytes.
pub(crate) const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// How much of the WAL is read at a time, in bytes: a call for every frame costs more than the reading.
const AT_ONCE: u64 = 1024 * 1024;

impl LogIndex {
    /// Reads the header as SQLite does: until both copies agree, and a second read returns the same.
    pub(crate) fn read(index: &File) -> std::io::Result<Self> {
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
                return Err(std::io::Error::other("the WAL index keeps changing"));
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

    /// The offset in the WAL at which the next frame begins. SQLite starts a WAL over when the main file has all of it.
    ///
    /// The file of the WAL may be longer: SQLite does not shorten it, and a push in place makes room after the frames.
    pub(crate) fn next_frame(&self, page_size: u64) -> u64 {
        let kept = match self.backfilled >= self.frames {
            true => 0,
            false => u64::from(self.frames),
        };
        LOG_HEADER + kept * (FRAME_HEADER + page_size)
    }

    /// The number of frames that were committed since the index was as in `before`, as in
    /// [`frames_before_news_since`](Self::frames_before_news_since). If the index does not tell, all of them.
    pub(crate) fn news_since(&self, before: &Self) -> u32 {
        self.frames - self.frames_before_news_since(before).unwrap_or(0)
    }

    /// Whether nothing was committed between the two. A checkpoint may have run.
    pub(crate) fn has_same_content(&self, other: &Self) -> bool {
        (self.frames, self.pages, self.salt) == (other.frames, other.pages, other.salt)
    }

    /// The number of frames to skip: the frames after them contain everything that was committed since the index was
    /// as in `before`, when a read transaction began that is still open. `None` if the index does not tell.
    ///
    /// That transaction keeps the WAL from being restarted, unless the main file already had everything in it. Then
    /// the WAL may be restarted once, because nothing goes into the main file until the transaction ends.
    pub(crate) fn frames_before_news_since(&self, before: &Self) -> Option<u32> {
        let started_over = |index: &Self| u32::from_be_bytes(index.salt[..4].try_into().expect("four bytes"));
        // There was no WAL yet. The transaction then keeps its first frames out of the main file, so it was not started
        // over.
        if before.salt == [0; 8] {
            return Some(0);
        }
        if self.salt == before.salt {
            return (self.frames >= before.frames).then_some(before.frames);
        }
        let once = started_over(self) == started_over(before).wrapping_add(1);
        (once && before.backfilled >= before.frames).then_some(0)
    }

    /// The offset in the WAL of the newest committed content of each page, after the first `skipped` frames.
    pub(crate) fn newest_frames(
        &self,
        log: &File,
        page_size: u64,
        skipped: u32,
    ) -> std::io::Result<BTreeMap<u32, u64>> {
        let frame = FRAME_HEADER + page_size;
        let at_once = (AT_ONCE / frame).max(1);
        let mut newest = BTreeMap::new();
        let mut buffer = vec![0; (at_once * frame) as usize];
        let mut number = u64::from(skipped);
        while number < u64::from(self.frames) {
            let count = at_once.min(u64::from(self.frames) - number);
            let begin = LOG_HEADER + number * frame;
            let bytes = &mut buffer[..(count * frame) as usize];
            log.read_exact_at(bytes, begin)?;
            for (nth, header) in bytes.chunks_exact(frame as usize).enumerate() {
                if header[8..16] != self.salt {
                    return Err(std::io::Error::other("a frame belongs to an earlier WAL"));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn index(frames: u32, backfilled: u32, started_over: u32, random: u8) -> LogIndex {
        let mut salt = [random; 8];
        salt[..4].copy_from_slice(&started_over.to_be_bytes());
        LogIndex {
            frames,
            pages: 100,
            backfilled,
            salt,
        }
    }

    #[test]
    fn the_news_of_a_log_begin_where_it_ended() {
        let before = index(10, 4, 7, 1);
        assert_eq!(index(10, 10, 7, 1).frames_before_news_since(&before), Some(10));
        assert_eq!(index(25, 10, 7, 1).frames_before_news_since(&before), Some(10));
        assert_eq!(index(25, 10, 7, 1).news_since(&before), 15);
    }

    #[test]
    fn a_log_that_did_not_exist_is_all_news() {
        let before = index(0, 0, 0, 0);
        assert_eq!(index(3, 0, 8, 2).frames_before_news_since(&before), Some(0));
        assert_eq!(before.frames_before_news_since(&before), Some(0));
    }

    #[test]
    fn a_log_that_was_started_over_is_all_news_only_if_nothing_of_it_was_missing() {
        assert_eq!(
            index(3, 0, 8, 2).frames_before_news_since(&index(10, 10, 7, 1)),
            Some(0)
        );
        for (later, before) in [
            (index(3, 0, 8, 2), index(10, 4, 7, 1)),
            (index(3, 0, 9, 2), index(10, 10, 7, 1)),
            (index(9, 0, 7, 1), index(10, 4, 7, 1)),
        ] {
            assert_eq!(later.frames_before_news_since(&before), None);
            assert_eq!(later.news_since(&before), later.frames);
        }
    }
}
