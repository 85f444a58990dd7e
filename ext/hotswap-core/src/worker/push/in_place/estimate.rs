//! Estimates how long the write will take: writes a part of it next to the live database, before any request waits.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::backup::{self, Written};
use crate::error::{Context, Failed, Result};
use crate::worker::disk::space;
use crate::worker::disk::staged::Staged;
use crate::worker::sqlite::log_buffer::Durable;
use crate::worker::sqlite::vfs::{self, Purpose};

/// Enough to measure the speed of a disk, in bytes.
const PART: u64 = 16 * 1024 * 1024;
/// How many pieces the part has. SQLite makes each in memory.
const BLOBS: u64 = 16;
/// Enough rows to measure how long SQLite takes to find one and to change it.
const ROWS: u32 = 500;
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
        let durable = if size.rows > 0 && wal {
            Durable::Later
        } else {
            Durable::AtCommit
        };
        let mut rehearsal = Rehearsal::prepare(part, live, page_size, wal)?;
        let speed = part as f64 / rehearsal.write(page_size, durable)?.as_secs_f64();
        let entry = match size.rows {
            0 => 0.0,
            _ => rehearsal.find(page_size)?.as_secs_f64() / f64::from(ROWS),
        };
        let time = bytes as f64 / speed + entry * size.entries as f64;
        Ok(Self {
            size,
            speed,
            time: Duration::from_secs_f64(time * CAUTION),
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
            "{:.1} MB at {:.0} MB/s, about {:.3} s",
            self.size.bytes as f64 / 1e6,
            self.speed / 1e6,
            self.time.as_secs_f64()
        )
    }
}

const REHEARSING: &str = "cannot measure how fast the disk is";

/// Two files next to the live database. Staged files have their own names, and the next worker removes them if this one
/// dies.
struct Rehearsal {
    content: Connection,
    target: Connection,
    _content: Staged,
    to: Staged,
}

impl Rehearsal {
    fn prepare(part: u64, live: &Path, page_size: u32, wal: bool) -> Result<Self> {
        let (from, to) = (Staged::create(live)?, Staged::create(live)?);
        let content = vfs::open(from.path(), Purpose::Changing)?;
        content
            .execute_batch(&format!(
                "PRAGMA page_size = {page_size}; PRAGMA synchronous = OFF; CREATE TABLE part (bytes);
                 WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {BLOBS})
                 INSERT INTO part SELECT randomblob({}) FROM n",
                part / BLOBS
            ))
            .context(REHEARSING)?;
        let target = vfs::open(to.path(), Purpose::Merging)?;
        let mode = if wal { "WAL" } else { "DELETE" };
        target
            .execute_batch(&format!(
                "PRAGMA page_size = {page_size}; PRAGMA wal_autocheckpoint = 0"
            ))
            .and_then(|()| target.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(())))
            .and_then(|()| target.execute_batch("PRAGMA synchronous = EXTRA; PRAGMA fullfsync = ON"))
            .context(REHEARSING)?;
        Ok(Self {
            content,
            target,
            _content: from,
            to,
        })
    }

    /// How long it takes to write the part.
    fn write(&mut self, page_size: u32, durable: Durable) -> Result<Duration> {
        let mut took = Duration::ZERO;
        // The first run has no content to replace.
        for _ in 0..2 {
            let begun = Instant::now();
            let written = backup::write(
                &self.content,
                &mut self.target,
                page_size,
                durable,
                |_| Ok(()),
                || Ok(()),
            )?;
            if written == Written::Locked {
                return Err(Failed::RehearsalLocked.into());
            }
            took = begun.elapsed();
        }
        Ok(took)
    }

    /// How long it takes to find and to change rows that are in pages of their own, without writing these.
    fn find(&self, page_size: u32) -> Result<Duration> {
        let each = page_size * 2 / 3;
        self.target
            .execute_batch(&format!(
                "PRAGMA synchronous = OFF; CREATE TABLE entries (id INTEGER PRIMARY KEY, number, rest);
                 WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
                 INSERT INTO entries SELECT i, 0, zeroblob({each}) FROM n"
            ))
            .context(REHEARSING)?;
        // A connection that has none of the pages in its cache.
        let cold = vfs::open(self.to.path(), Purpose::Merging)?;
        let find = || -> rusqlite::Result<Duration> {
            let mut change = cold.prepare("UPDATE entries SET number = 1 WHERE id = ?1")?;
            cold.execute_batch("BEGIN IMMEDIATE")?;
            let begun = Instant::now();
            for row in 0..ROWS {
                // Not in the order of the pages.
                change.execute([row * 199 % ROWS + 1])?;
            }
            let took = begun.elapsed();
            cold.execute_batch("ROLLBACK")?;
            Ok(took)
        };
        find().context(REHEARSING)
    }
}
