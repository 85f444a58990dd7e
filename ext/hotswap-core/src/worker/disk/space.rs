//! Space on a disk that the application shares.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::statvfs::fstatvfs;

use crate::error::{Context, Refused, Result};
use crate::sidecar::sidecars;
use crate::sys::backup_disk;
use crate::worker::sqlite::wal_index::LogIndex;

/// What must stay free so that the application can go on writing, in bytes.
const MARGIN: u64 = 16 * 1024 * 1024;

/// How many bytes fit on the file system of `file` and leave the application room to write.
pub(crate) fn left_for(file: impl AsFd) -> Result<u64> {
    free(file).map(|free| free.saturating_sub(MARGIN))
}

/// Refuses unless `needed` bytes fit on the file system of `file` and leave the application room to write.
pub(crate) fn require(file: impl AsFd, needed: u64, what: &'static str) -> Result<()> {
    let free = free(file)?;
    if free >= needed + MARGIN {
        return Ok(());
    }
    Err(Refused::NoSpace {
        what,
        needed,
        margin: MARGIN,
        free,
    }
    .into())
}

/// The free space in bytes, or `u64::MAX` if the file system does not report it: some report a total of 0 blocks.
pub(crate) fn free(file: impl AsFd) -> Result<u64> {
    let disk = match fstatvfs(file) {
        Err(errno) if backup_disk::cannot(&errno.into()) => return Ok(u64::MAX),
        asked => asked.context("cannot determine the free space")?,
    };
    match disk.blocks() {
        0 => Ok(u64::MAX),
        _ => Ok(disk.blocks_available() as u64 * disk.fragment_size() as u64),
    }
}

/// How much may be written to a WAL while a slow reader holds a snapshot. These pages have to go into the database some
/// day, and that may take as much space again.
pub(crate) struct Growth {
    folder: File,
    /// The WAL index, and what it said at first. It stays open until the process ends, because closing it would drop
    /// SQLite's locks.
    index: ManuallyDrop<File>,
    at_first: LogIndex,
    /// In bytes.
    page_size: u64,
    margin: u64,
}

impl Growth {
    /// For the WAL of `database`, of which the caller holds a snapshot, on a disk that may already be full.
    pub(crate) fn of_log(database: &Path, page_size: u64) -> Result<Self> {
        let folder = database.parent().unwrap_or(Path::new("/"));
        let folder = File::open(folder).on_path("cannot open", folder)?;
        let path = sidecars(database).nth(1).expect("the index comes second");
        let index = ManuallyDrop::new(File::open(&path).on_path("cannot open", &path)?);
        Ok(Self {
            at_first: LogIndex::read(&index).on_path("cannot read", &path)?,
            index,
            page_size,
            margin: MARGIN.min(free(&folder)? / 2),
            folder,
        })
    }

    /// Fails if too much was written to the WAL.
    pub(crate) fn check(&self) -> Result<()> {
        let now = LogIndex::read(&self.index).context("cannot read the WAL index")?;
        let written = u64::from(now.news_since(&self.at_first)) * self.page_size;
        let free = free(&self.folder)?;
        if free >= self.margin + written {
            return Ok(());
        }
        Err(Refused::SlowReader { written, free }.into())
    }
}
