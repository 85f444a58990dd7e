//! Estimates how long the write will take: writes a part of it beside the live database, before any request waits.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use super::backup::{self, Written};
use crate::error::{Context, Failed, Result};
use crate::worker::disk::space;
use crate::worker::disk::staged::Staged;
use crate::worker::sqlite::vfs::{self, Purpose};

/// Enough to measure the speed of a disk, in bytes.
const PART: u64 = 16 * 1024 * 1024;
/// How long SQLite takes for one entry of a table or an index, beside the writing of its page. A bound, so that many
/// small rows in few pages are not taken for nothing.
const ENTRY: Duration = Duration::from_micros(6);
/// Allows for a machine that is busier during the write than during the rehearsal.
pub(super) const CAUTION: f64 = 1.25;

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// In bytes.
    pub bytes: u64,
    /// The rows, if rows are written.
    pub rows: u64,
    /// The entries of their tables and indexes.
    pub entries: u64,
}

/// The result of a rehearsal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    /// How much will be written.
    pub size: Size,
    /// The measured speed, in bytes a second.
    pub speed: f64,
    /// How long the write will take, with a margin.
    pub time: Duration,
}

impl Estimate {
    /// Estimates a write of this size into `live`, in WAL mode or not.
    pub(super) fn of(size: Size, live: &Path, page_size: u32, wal: bool) -> Result<Self> {
        // The two files and the log of the rehearsal need room, too.
        let folder = live.parent().unwrap_or(Path::new("/"));
        let folder = File::open(folder).on_path("cannot open", folder)?;
        let bytes = size.bytes;
        let part = bytes
            .min(PART)
            .min(space::free(folder)? / 4)
            .max(page_size.into());
        // With a WAL, requests do not wait until rows are on the disk.
        let synchronous = if size.rows > 0 && wal { "NORMAL" } else { "EXTRA" };
        let took = rehearse(part, live, page_size, wal, synchronous)?;
        let speed = part as f64 / took.as_secs_f64();
        Ok(Self {
            size,
            speed,
            time: Duration::from_secs_f64(bytes as f64 / speed * CAUTION) + ENTRY * size.entries as u32,
        })
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.size.rows > 0 {
            write!(out, "{} rows, ", self.size.rows)?;
        }
        write!(
            out,
            "{:.1} MB at {:.0} MB/s, about {:.2} s",
            self.size.bytes as f64 / 1e6,
            self.speed / 1e6,
            self.time.as_secs_f64()
        )
    }
}

fn rehearse(part: u64, live: &Path, page_size: u32, wal: bool, synchronous: &str) -> Result<Duration> {
    let rehearsing = "cannot measure how fast the disk is";
    // Staged files have their own names, and the next worker removes them if this one dies.
    let (content, target) = (Staged::create(live)?, Staged::create(live)?);
    let content = vfs::open(content.path(), Purpose::Changing)?;
    content
        .execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA synchronous = OFF; CREATE TABLE part (bytes);
             INSERT INTO part VALUES (randomblob({part}))"
        ))
        .context(rehearsing)?;
    let mut target = vfs::open(target.path(), Purpose::Merging)?;
    let mode = if wal { "WAL" } else { "DELETE" };
    target
        .execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA wal_autocheckpoint = 0"
        ))
        .and_then(|()| target.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())))
        .and_then(|()| target.execute_batch(&format!("PRAGMA synchronous = {synchronous}")))
        .context(rehearsing)?;
    let mut took = Duration::ZERO;
    // The first run has no content to replace.
    for _ in 0..2 {
        let begun = Instant::now();
        let written = backup::write(&content, &mut target, page_size, |_| Ok(()), || Ok(()))?;
        if written == Written::Locked {
            return Err(Failed::RehearsalLocked.into());
        }
        took = begun.elapsed();
    }
    Ok(took)
}
