//! The content of a file that one process writes while others read it. Its length and its checksum, eight bytes each,
//! come before it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use xxhash_rust::xxh3::xxh3_64;

const HEAD: usize = 16;

/// Replaces the content. If there is no room for it, a reader finds the old content.
pub(super) fn write(file: &File, content: &[u8]) {
    let mut bytes = Vec::with_capacity(HEAD + content.len());
    bytes.extend((content.len() as u64).to_le_bytes());
    bytes.extend(xxh3_64(content).to_le_bytes());
    bytes.extend(content);
    let _ = file.write_all_at(&bytes, 0);
}

/// The content. `None` if there is none yet.
pub(super) fn read(file: &File) -> Option<Vec<u8>> {
    // A reader can see half of a write. Then the checksum is wrong, and it reads again.
    (0..100).find_map(|_| read_once(file).ok())
}

fn read_once(file: &File) -> io::Result<Vec<u8>> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let length = file.metadata()?.len().saturating_sub(HEAD as u64);
    let mut content = vec![0; word(0).min(length) as usize];
    file.read_exact_at(&mut content, HEAD as u64)?;
    match xxh3_64(&content) == word(8) {
        true => Ok(content),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}
