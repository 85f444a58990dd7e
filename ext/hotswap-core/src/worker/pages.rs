//! The pages of a pinned state: the main file, overlaid with what of the log is newer.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use memmap2::{Mmap, MmapOptions};

use crate::error::{Context, Result};

/// See the module. They stay what they are for as long as the snapshot is pinned that they belong to.
#[derive(Debug)]
pub struct Pages {
    /// The database's file.
    pub main: File,
    /// The log, in WAL mode.
    pub log: Option<Log>,
    /// Bytes in a page.
    pub size: u64,
    /// How many there are.
    pub count: u64,
    /// Where the database lies.
    pub path: PathBuf,
}

/// What of a log belongs to a snapshot.
#[derive(Debug)]
pub struct Log {
    /// The log itself.
    pub file: File,
    /// Page number to the offset of its newest committed content in the log.
    pub newest: BTreeMap<u32, u64>,
}

impl Pages {
    /// How long they are, in bytes.
    pub fn len(&self) -> u64 {
        self.count * self.size
    }

    /// Fills `buffer` with what is there from the byte at `at` on. Both ends have to be ends of pages.
    pub fn read(&self, buffer: &mut [u8], at: u64) -> Result<()> {
        self.read_main(buffer, at)?;
        self.overlay(buffer, at)
    }

    /// What is there from the byte at `at` on, `length` bytes of it, as the kernel has it. `None` where the log has
    /// something newer, or the file cannot be mapped.
    ///
    /// It is for the kernel, which may find that a disk does not read it; whoever else touched it would end with SIGBUS.
    pub fn mapped(&self, at: u64, length: usize) -> Option<Mmap> {
        if self.newest(at, length as u64).next().is_some() {
            return None;
        }
        // SAFETY: pages that the log has nothing of are not written to while the snapshot is pinned.
        unsafe { MmapOptions::new().offset(at).len(length).map(&self.main) }.ok()
    }

    /// Pages of which the log has something newer: number and offset there.
    fn newest(&self, at: u64, length: u64) -> impl Iterator<Item = (u32, u64)> + '_ {
        let first = (at / self.size + 1) as u32;
        let last = (at + length).div_ceil(self.size) as u32;
        let newest = self
            .log
            .iter()
            .flat_map(move |log| log.newest.range(first..=last));
        newest.map(|(number, offset)| (*number, *offset))
    }

    /// What of the log is newer than the main file, from the page with that number on: page numbers and what is in them.
    pub fn newer(&self, first: u32) -> impl Iterator<Item = Result<(u32, Vec<u8>)>> + '_ {
        let newest = self.log.iter().flat_map(move |log| log.newest.range(first..));
        newest.map(|(number, offset)| {
            let mut page = vec![0; self.size as usize];
            self.read_log(&mut page, *offset)?;
            Ok((*number, page))
        })
    }

    /// What lies past the end of the main file is zero here and in the log there.
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
            .on_path("cannot read the log of", &self.path)
    }
}
