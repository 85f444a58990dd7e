//! The pages of a pinned state: the main file, overlaid with the newer pages in the WAL.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use memmap2::{Mmap, MmapOptions};

use crate::error::{Context, Result};

/// The pages of a snapshot. They do not change for as long as that snapshot is pinned.
#[derive(Debug)]
pub(super) struct Pages {
    /// The database's file.
    pub main: File,
    /// The WAL, in WAL mode.
    pub log: Option<Log>,
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
    /// The length of all pages, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.count * self.size
    }

    /// Fills `buffer` with the content from the byte `at` on. Both ends have to be page boundaries.
    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> Result<()> {
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
