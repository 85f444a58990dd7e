//! The hashes of a database's chunks, which make up its identity.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use crate::worker::sqlite::header::{HEADER, LOCKED_BYTES};

/// The size of a chunk, in bytes. The worker reads, hashes and writes a chunk before it leaves the processor's cache.
/// The identity depends on it. It is a multiple of every page size.
pub(crate) const CHUNK: usize = 256 * 1024;

/// The parts of the header that depend on a commit, a copy or the journal mode, and not on the content: the journal
/// mode, the change counter, the number of pages (the length counts), the schema number, the number for which that
/// counter is valid, and the version of SQLite that wrote the file.
const NOT_CONTENT: [Range<usize>; 4] = [18..20, 24..32, 40..44, 92..100];

/// The hashes of those chunks of a new database that are known while it is written.
#[derive(Debug, Default)]
pub(crate) struct Hashes(BTreeMap<u64, u128>);

impl Hashes {
    /// Adds `bytes`, which begin at the byte `at`, if they are a whole chunk. Nothing may change them afterwards.
    pub(crate) fn add(&mut self, bytes: &[u8], at: u64, page_size: usize) {
        if bytes.len() == CHUNK && at % CHUNK as u64 == 0 {
            self.0.insert(at, hash_of_chunk(bytes, at, page_size));
        }
    }

    /// The hash of the chunk at the byte `at`, if it is known.
    pub(super) fn get(&self, at: u64) -> Option<u128> {
        self.0.get(&at).copied()
    }
}

/// The hash of the chunk of a database that begins at the byte `at`. The chunk has to be [`CHUNK`] bytes long, unless
/// it is the last one.
pub(super) fn hash_of_chunk(chunk: &[u8], at: u64, page_size: usize) -> u128 {
    let mut chunk = Cow::Borrowed(chunk);
    if at == 0 && chunk.len() >= HEADER {
        let header = chunk.to_mut();
        NOT_CONTENT.into_iter().for_each(|range| header[range].fill(0));
    }
    if at == LOCKED_BYTES {
        let locked = page_size.min(chunk.len());
        chunk.to_mut()[..locked].fill(0);
    }
    xxh3_128(&chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_content_does_not_count() {
        let hash = |change: &[usize], at| {
            let mut chunk = vec![1; 8192];
            change.iter().for_each(|byte| chunk[*byte] = 2);
            hash_of_chunk(&chunk, at, 4096)
        };
        assert_eq!(hash(&[], 0), hash(&[18, 19, 24, 31, 40, 43, 92, 99], 0));
        assert_eq!(hash(&[], LOCKED_BYTES), hash(&[0, 24, 4095], LOCKED_BYTES));
        for (changed, at) in [
            (16, 0),
            (44, 0),
            (100, 0),
            (24, CHUNK as u64),
            (4096, LOCKED_BYTES),
        ] {
            assert_ne!(hash(&[], at), hash(&[changed], at), "{changed}");
        }
    }
}
