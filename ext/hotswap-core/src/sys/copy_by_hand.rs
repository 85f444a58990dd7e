//! Copying where the kernel cannot do it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Copies up to a megabyte of a range. Returns how much.
pub(super) fn by_hand(source: &File, from: u64, target: &File, to: u64, length: u64) -> io::Result<u64> {
    let mut buffer = vec![0; length.min(1024 * 1024) as usize];
    let bytes = source.read_at(&mut buffer, from)?;
    target.write_all_at(&buffer[..bytes], to)?;
    Ok(bytes as u64)
}
