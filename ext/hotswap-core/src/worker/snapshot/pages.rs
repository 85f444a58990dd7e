//! The pages of a pinned state: the main file, overlaid with the newer pages in the WAL.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memmap2::{Mmap, MmapOptions};
use rusqlite::Connection;

use crate::error::{Context, Result};
use crate::sidecar::sidecars;
use crate::visible::Shown;
use crate::worker::sqlite::wal_index::LogIndex;

/// The pages of a snapshot. They do not change for as long as that snapshot is pinned.
#[derive(Debug)]
pub(crate) struct Pages {
    /// The database's file.
    pub main: File,
    /// The WAL, in WAL mode.
    pub(super) log: Option<Log>,
    /// The size of a page, in bytes.
    pub size: u64,
    /// The number of pages.
    pub count: u64,
    /// The path of the database.
    pub path: PathBuf,
}

/// The part of a WAL that belongs to a snapshot.
#[derive(Debug)]
pub(super) struct Log {
    /// The WAL itself.
    pub file: File,
    /// Maps a page number to the offset of its newest committed content in the WAL.
    pub newest: BTreeMap<u32, u64>,
}

impl Pages {
    /// The pages of the database at `path` (resolved), whose state `connection` has pinned. What another connection has
    /// committed since then is in them, too.
    ///
    /// Closing the files drops the locks of all connections to the database.
    pub(crate) fn of(connection: &Connection, path: &Path) -> Result<Self> {
        let reading = format!("cannot read {}", path.shown());
        let number = |pragma: &str| {
            connection
                .query_row(pragma, [], |row| row.get::<_, i64>(0))
                .context(&reading)
        };
        let mut pages = Self {
            size: number("PRAGMA main.page_size")? as u64,
            count: number("PRAGMA main.page_count")? as u64,
            main: File::open(path).on_path("cannot open", path)?,
            log: None,
            path: path.to_owned(),
        };
        let mode: String = connection
            .query_row("PRAGMA main.journal_mode", [], |row| row.get(0))
            .context(&reading)?;
        if mode == "wal" {
            let index = sidecars(path).nth(1).expect("the index comes second");
            let index_file = File::open(&index).on_path("cannot open", &index)?;
            let state = LogIndex::read(&index_file).on_path("cannot read", &index);
            // Its descriptor stays open until the process ends, because closing it now would drop SQLite's locks.
            std::mem::forget(index_file);
            pages.lay_log_over(&state?)?;
        }
        Ok(pages)
    }

    /// Lays the part of the WAL over the main file that `state`, read in the same transaction, has as committed.
    pub(super) fn lay_log_over(&mut self, state: &LogIndex) -> Result<()> {
        let log = sidecars(&self.path).next().expect("the log comes first");
        let file = File::open(&log).on_path("cannot open", &log)?;
        // A WAL without a commit says nothing about the length, not even zero.
        if state.frames > 0 {
            self.count = u64::from(state.pages);
        }
        let newest = if state.backfilled >= state.frames {
            BTreeMap::new()
        } else {
            state
                .newest_frames(&file, self.size, 0)
                .on_path("cannot read", &log)?
        };
        self.log = Some(Log { file, newest });
        Ok(())
    }

    /// The length of all pages, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.count * self.size
    }

    /// Fills `buffer` with the content from the byte `at` on. Both ends have to be page boundaries.
    pub(crate) fn read(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.read_main(buffer, at)?;
        self.overlay(buffer, at)
    }

    /// Maps `length` bytes from the byte `at` on, as the kernel has them. `None` if the WAL has newer content there,
    /// or if the file cannot be mapped.
    ///
    /// Only the kernel may access the mapping, because it can report a disk that fails to read. Code that touched
    /// the mapping would end with SIGBUS.
    pub(super) fn mapped(&self, at: u64, length: usize) -> Option<Mmap> {
        if self.newest(at, length as u64).next().is_some() {
            return None;
        }
        // SAFETY: pages that are not in the WAL are not written to while the snapshot is pinned.
        unsafe { MmapOptions::new().offset(at).len(length).map(&self.main) }.ok()
    }

    /// The pages in this range that have newer content in the WAL: page number and offset.
    fn newest(&self, at: u64, length: u64) -> impl Iterator<Item = (u32, u64)> + '_ {
        let first = (at / self.size + 1) as u32;
        let last = (at + length).div_ceil(self.size) as u32;
        let newest = self
            .log
            .iter()
            .flat_map(move |log| log.newest.range(first..=last));
        newest.map(|(number, offset)| (*number, *offset))
    }

    /// The pages from `first` on that have newer content in the WAL: page number and content.
    pub(super) fn newer(&self, first: u32) -> impl Iterator<Item = Result<(u32, Vec<u8>)>> + '_ {
        let newest = self.log.iter().flat_map(move |log| log.newest.range(first..));
        newest.map(|(number, offset)| {
            let mut page = vec![0; self.size as usize];
            self.read_log(&mut page, *offset)?;
            Ok((*number, page))
        })
    }

    /// Past the end of the main file there are zeros, here as in the WAL.
    fn read_main(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .main
                .read_at(&mut buffer[filled..], at + filled as u64)
                .on_path("cannot read", &self.path)?
            {
                0 => break,
                bytes => filled += bytes,
            }
        }
        buffer[filled..].fill(0);
        Ok(())
    }

    fn overlay(&self, chunk: &mut [u8], at: u64) -> Result<()> {
        for (number, offset) in self.newest(at, chunk.len() as u64) {
            let begin = ((u64::from(number) - 1) * self.size - at) as usize;
            self.read_log(&mut chunk[begin..begin + self.size as usize], offset)?;
        }
        Ok(())
    }

    fn read_log(&self, page: &mut [u8], offset: u64) -> Result<()> {
        let log = self
            .log
            .as_ref()
            .expect("an offset in the log comes from the log");
        log.file
            .read_exact_at(page, offset)
            .on_path("cannot read the WAL of", &self.path)
    }
}
