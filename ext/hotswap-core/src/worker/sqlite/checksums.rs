//! Databases with a checksum in every page, as SQLite's cksumvfs extension writes and verifies them.
//!
//! A worker does not have this extension. Its writes have no valid checksum: neither two bytes of a header, nor the
//! pages that a checkpoint moves into the file. The application could no longer read those pages. So the worker never
//! writes into such a database, and never puts one in place.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::header::DatabaseHeader;
use crate::error::{BadFile, Context, Result};

/// The bytes that cksumvfs reserves in each page. Other extensions may reserve as many, or a database may have them
/// reserved and unused.
const RESERVED: u8 = 8;

/// Refuses the database at `path`, which the user calls `name`, if its first page has a valid checksum. Must not be
/// called while SQLite has the file open in this process, because closing the file would drop SQLite's locks.
pub(crate) fn refuse(path: &Path, name: &str) -> Result<()> {
    let page = first_page(path).on_path("cannot read", path)?;
    if !has_checksum(&page) {
        return Ok(());
    }
    Err(BadFile::Checksums { name: name.into() }.into())
}

/// Empty if there is no database yet.
fn first_page(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut head = [0; 100];
    if file.metadata()?.len() < head.len() as u64 {
        return Ok(Vec::new());
    }
    file.read_exact_at(&mut head, 0)?;
    let size = DatabaseHeader::read(&head).page_size.min(file.metadata()?.len());
    let mut page = vec![0; size as usize];
    file.read_exact_at(&mut page, 0)?;
    Ok(page)
}

fn has_checksum(page: &[u8]) -> bool {
    let Some((content, there)) = page.split_last_chunk::<8>() else {
        return false;
    };
    page.len() >= 512 && page[20] == RESERVED && checksum(content) == *there
}

/// Two sums of 32 bits, each of which depends on the other.
fn checksum(content: &[u8]) -> [u8; 8] {
    let (mut first, mut second) = (0u32, 0u32);
    for pair in content.chunks_exact(8) {
        let word = |at: usize| u32::from_le_bytes(pair[at..at + 4].try_into().expect("four bytes"));
        first = first.wrapping_add(word(0)).wrapping_add(second);
        second = second.wrapping_add(word(4)).wrapping_add(first);
    }
    let mut sums = [0; 8];
    sums[..4].copy_from_slice(&first.to_le_bytes());
    sums[4..].copy_from_slice(&second.to_le_bytes());
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with `reserved` reserved bytes, and a checksum in the last eight.
    fn page(reserved: u8) -> Vec<u8> {
        let mut page: Vec<u8> = (0..1024u32).map(|at| (at * 7 % 251) as u8).collect();
        page[..16].copy_from_slice(b"SQLite format 3\0");
        page[16..18].copy_from_slice(&1024u16.to_be_bytes());
        page[20] = reserved;
        let sums = checksum(&page[..1016]);
        page[1016..].copy_from_slice(&sums);
        page
    }

    #[test]
    fn a_page_is_known_by_its_checksum_and_not_by_its_reserved_bytes() {
        assert!(has_checksum(&page(8)));
        assert!(!has_checksum(&page(0)));
        let mut changed = page(8);
        changed[500] ^= 1;
        assert!(!has_checksum(&changed));
        assert!(!has_checksum(&[]));
    }

    #[test]
    fn what_is_shorter_than_its_first_page_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.sqlite3");
        refuse(&path, "live.sqlite3").unwrap();
        for (length, refused) in [(0, false), (99, false), (1000, false), (1024, true)] {
            std::fs::write(&path, &page(8)[..length]).unwrap();
            assert_eq!(refuse(&path, "live.sqlite3").is_err(), refused, "{length}");
        }
    }
}
