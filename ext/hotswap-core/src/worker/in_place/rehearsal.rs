//! How long it will take, found out by doing it with a part, beside the live database and before anybody waits.

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::staged::Staged;
use super::super::vfs::{self, Purpose};
use super::whole::{self, Written};
use crate::error::{Context, Error, Result};

/// As much as tells the speed of a disk, in bytes.
const PART: u64 = 16 * 1024 * 1024;
/// A machine that is busier than it was when it was asked.
const CAUTION: f64 = 1.25;

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Estimate {
    /// What will be written.
    pub bytes: u64,
    /// In bytes a second.
    pub speed: f64,
    /// How long it will take, with caution.
    pub time: Duration,
}

impl Estimate {
    /// For `bytes` written into `live`, which is journalled with a log or without.
    pub fn of(bytes: u64, live: &Path, page_size: u32, wal: bool) -> Result<Self> {
        let part = bytes.clamp(page_size.into(), PART);
        let took = rehearse(part, live, page_size, wal)?;
        let speed = part as f64 / took.as_secs_f64();
        Ok(Self {
            bytes,
            speed,
            time: Duration::from_secs_f64(bytes as f64 / speed * CAUTION),
        })
    }
}

impl std::fmt::Display for Estimate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{:.1} MB at {:.0} MB/s, about {:.2} s",
            self.bytes as f64 / 1e6,
            self.speed / 1e6,
            self.time.as_secs_f64()
        )
    }
}

fn rehearse(part: u64, live: &Path, page_size: u32, wal: bool) -> Result<Duration> {
    let rehearsing = "cannot find out how long it takes to write";
    // Names of their own, which the next worker clears away if this one dies.
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
        .and_then(|()| target.execute_batch("PRAGMA synchronous = EXTRA"))
        .context(rehearsing)?;
    let mut took = Duration::ZERO;
    // The first time there is nothing to be replaced.
    for _ in 0..2 {
        let begun = Instant::now();
        let written = whole::write(&content, &mut target, page_size, |_| Ok(()), || Ok(()))?;
        if written == Written::Locked {
            return Err(Error::Broken("the rehearsal was locked".into()));
        }
        took = begun.elapsed();
    }
    Ok(took)
}
