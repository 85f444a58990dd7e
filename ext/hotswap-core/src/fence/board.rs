//! The board: what the worker asks of the members. It is written into the fence file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

/// What the worker currently asks of the members.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Nothing: no swap is under way.
    #[default]
    Quiet = 0,
    /// Wait for the work that is running now, with the gate open. Then release the straggler lock.
    Settle = 1,
    /// Close, drain, disconnect. Then release the fence lock.
    Close = 2,
    /// The worker is moving the file. A member that reads this when no worker is alive syncs the folder before it
    /// opens the database.
    Moving = 3,
    /// The file was moved, but a slow disk has not made that durable. Every member is in again; the worker waits for
    /// the disk.
    Moved = 4,
}

/// The board, 64 bytes at the start of the fence file, written with one `pwrite`:
///
/// ```text
///  0  "hotswap\x01"      16  schema generation   32  max_pause, ms      40  report
///  8  generation         24  attempt             36  phase              48  zeros    56  checksum
///                                                37  1 if the schema will change
///                                                38  1 if the names of versions are hotswap's, 1 zero
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Board {
    /// Counts the files that were moved to the live path. Members compare it when they reopen.
    pub generation: u64,
    /// The generation in which the schema last changed.
    pub schema_generation: u64,
    /// Whether the file that the worker is about to move has another schema.
    pub schema_changes: bool,
    /// Whether a worker was about to keep a version of this database. From then on, files with the names of versions
    /// are hotswap's.
    pub owns_versions: bool,
    /// Counts the attempts, so that a member answers each one once.
    pub attempt: u64,
    /// How long a member may hold its requests up.
    pub max_pause: Duration,
    /// What the worker asks for.
    pub phase: Phase,
    /// Names the socket on which the worker receives reports: `.hotswap-<report, hexadecimal>.report`.
    pub report: u64,
}

const LENGTH: usize = 64;
const MAGIC: &[u8; 8] = b"hotswap\x01";

impl Board {
    /// Whether the schema may have changed since `generation`.
    pub fn schema_changed_since(&self, generation: u64) -> bool {
        // A fence that was replaced may count from a lower number again.
        let known_to_be_the_same = self.schema_generation <= generation && generation < self.generation;
        self.generation != generation && !known_to_be_the_same
    }

    pub(super) fn read(file: &File) -> Self {
        // A reader can see half of a write. Then the checksum is wrong, and it reads again.
        (0..100).find_map(|_| Self::read_once(file)).unwrap_or_default()
    }

    fn read_once(file: &File) -> Option<Self> {
        let mut bytes = [0; LENGTH];
        if file.read_at(&mut bytes, 0).ok()? == 0 {
            return Some(Self::default()); // No worker has ever posted.
        }
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if &bytes[..8] != MAGIC || word(56) != xxh3_64(&bytes[..56]) {
            return None;
        }
        Some(Self {
            generation: word(8),
            schema_generation: word(16),
            schema_changes: bytes[37] == 1,
            owns_versions: bytes[38] == 1,
            attempt: word(24),
            max_pause: Duration::from_millis(word(32) & 0xffff_ffff),
            phase: match bytes[36] {
                1 => Phase::Settle,
                2 => Phase::Close,
                3 => Phase::Moving,
                4 => Phase::Moved,
                _ => Phase::Quiet,
            },
            report: word(40),
        })
    }

    pub(super) fn write(&self, file: &File) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.schema_generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.attempt.to_le_bytes());
        bytes[32..36].copy_from_slice(&(self.max_pause.as_millis() as u32).to_le_bytes());
        bytes[36] = self.phase as u8;
        bytes[37] = u8::from(self.schema_changes);
        bytes[38] = u8::from(self.owns_versions);
        bytes[40..48].copy_from_slice(&self.report.to_le_bytes());
        let checksum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        file.write_all_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Board {
        Board {
            generation: 7,
            schema_generation: 3,
            schema_changes: true,
            owns_versions: true,
            attempt: 12,
            max_pause: Duration::from_millis(500),
            phase: Phase::Close,
            report: 0xfeed,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let file = tempfile::tempfile().unwrap();
        sample().write(&file).unwrap();
        assert_eq!(Board::read(&file), sample());
    }

    #[test]
    fn a_schema_has_changed_unless_the_board_shows_that_it_has_not() {
        let board = sample();
        for (generation, expected) in [(7, false), (3, false), (5, false), (2, true), (8, true)] {
            assert_eq!(board.schema_changed_since(generation), expected, "{generation}");
        }
    }

    #[test]
    fn an_empty_or_damaged_board_is_quiet() {
        let file = tempfile::tempfile().unwrap();
        assert_eq!(Board::read(&file), Board::default());
        sample().write(&file).unwrap();
        file.write_all_at(b"!", 9).unwrap();
        assert_eq!(Board::read(&file).phase, Phase::Quiet);
    }
}
