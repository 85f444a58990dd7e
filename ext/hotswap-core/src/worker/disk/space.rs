//! Space on a disk that the application shares.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::fstatvfs;

use crate::error::{Context, Refused, Result};
use crate::sidecar::sidecars;
use crate::sys::backup_disk;

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

/// How far a WAL may grow while a slow reader holds a snapshot. Its pages have to go into the database some day, and
/// that may take as much space again.
pub(crate) struct Growth {
    folder: File,
    log: PathBuf,
    at_first: u64,
    margin: u64,
}

impl Growth {
    /// For the WAL of `database`, on a disk that may already be full.
    pub(crate) fn of_log(database: &Path) -> Result<Self> {
        let folder = database.parent().unwrap_or(Path::new("/"));
        let folder = File::open(folder).on_path("cannot open", folder)?;
        let log = sidecars(database).next().expect("the log");
        Ok(Self {
            at_first: length(&log),
            margin: MARGIN.min(free(&folder)? / 2),
            folder,
            log,
        })
    }

    /// Fails if the WAL has grown too far.
    pub(crate) fn check(&self) -> Result<()> {
        let (free, wal) = (free(&self.folder)?, length(&self.log));
        if free >= self.margin + wal.saturating_sub(self.at_first) {
            return Ok(());
        }
        Err(Refused::SlowReader { wal, free }.into())
    }
}

/// 0 if there is no such file.
fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
