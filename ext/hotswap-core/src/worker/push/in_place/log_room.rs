//! Makes room in the WAL for the frames that the worker will write, before requests wait.
//!
//! When a file grows, the kernel has to find memory and blocks for each new page. That would make requests wait longer
//! for the write. So the worker reserves the blocks, and reads the range into the page cache.
//!
//! SQLite reads a WAL up to the first frame that does not have the salt of the WAL's header. Zeros do not have it, and
//! neither do the old frames that SQLite leaves there when it starts the WAL over.

use std::fs::{File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::unix::fs::FileExt;

use crate::sidecar::sidecars;
use crate::sys::disk;
use crate::worker::live::Live;
use crate::worker::sqlite::wal_index::LogIndex;

/// The most room that is made, in bytes. The WAL keeps its length, even if nothing is written in the end.
const MOST: u64 = 64 * 1024 * 1024;
/// How much is read at a time, in bytes.
const AT_ONCE: usize = 1024 * 1024;

/// Makes room for `bytes` after the last frame. If another process starts the WAL over meanwhile, the room is of no use
/// and does no harm.
pub(super) fn make(live: &Live, page_size: u32, bytes: u64) -> io::Result<()> {
    let mut files = sidecars(live.path());
    let (log, index) = (files.next(), files.next());
    let (Some(log), Some(index)) = (log, index) else {
        return Ok(());
    };
    // Stays open until the process ends, because closing it would drop SQLite's locks.
    let index = ManuallyDrop::new(File::open(&index)?);
    let from = LogIndex::read(&index)?.end(page_size.into());
    let bytes = bytes.min(MOST);
    let log = OpenOptions::new().read(true).write(true).open(&log)?;
    // Without this, the file system finds the blocks later.
    let _ = disk::reserve(&log, from, bytes);
    let mut part = vec![0; AT_ONCE];
    let mut read = 0;
    while read < bytes {
        match log.read_at(&mut part, from + read)? {
            0 => break,
            more => read += more as u64,
        }
    }
    Ok(())
}
