//! Writes a large file that the application does not read, past the page cache.
//!
//! Pages that are not in the WAL go to the disk straight from the kernel's page cache. Nothing is copied, and the
//! processor has little to do. The cache keeps the application's pages, which a gigabyte of backup would push out.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::pages::Pages;
use crate::error::{Context, Result};
use crate::sys::backup_disk;
use crate::sys::disk::pass_cache;
use crate::worker::disk::writeback::Writeback;

/// How many bytes are written at once. With an eighth of this a disk takes a third longer.
const PART: usize = 2 * 1024 * 1024;
/// Addresses, offsets and lengths have to be multiples of this on every disk that we know of.
const BLOCK: usize = 4096;

/// Writes `pages` from the byte `from` on, and a little before it, to the same place in `target`. Afterwards
/// `target` is as long as the pages, but not yet durable. `copied` gets the progress, and can stop the copy.
pub(super) fn copy(
    pages: &Pages,
    target: &File,
    from: u64,
    mut copied: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let begin = from - from % PART as u64;
    let mut way = Way::open(target, begin);
    let mut buffer = Buffer::new();
    for at in (begin..pages.len()).step_by(PART) {
        let length = (pages.len() - at).min(PART as u64) as usize;
        if !way.write_unread(pages, at, length) {
            let part = buffer.first(length);
            pages.read(part, at)?;
            way.write(part, at).context("cannot write the snapshot")?;
        }
        copied(at + length as u64)?;
    }
    Ok(())
}

/// Memory that begins at an address suitable for the disk.
struct Buffer {
    memory: Vec<u8>,
    begin: usize,
}

impl Buffer {
    fn new() -> Self {
        let memory = vec![0; PART + BLOCK];
        let begin = memory.as_ptr().align_offset(BLOCK);
        Self { memory, begin }
    }

    fn first(&mut self, length: usize) -> &mut [u8] {
        &mut self.memory[self.begin..self.begin + length]
    }
}

/// Writes past the page cache for as long as that works, then through the cache.
struct Way<'a> {
    file: &'a File,
    past_cache: bool,
    writeback: Writeback,
}

impl<'a> Way<'a> {
    fn open(file: &'a File, begin: u64) -> Self {
        let past_cache = pass_cache(file, true).is_ok();
        Self {
            file,
            past_cache,
            writeback: Writeback::from(begin),
        }
    }

    /// Writes a part of the main file from the page cache, without reading it here. Returns false if the WAL has
    /// newer content, or if the kernel cannot write it, for example because it cannot read the file there.
    fn write_unread(&mut self, pages: &Pages, at: u64, length: usize) -> bool {
        if !self.past_cache || length % BLOCK != 0 {
            return false;
        }
        let Some(part) = pages.mapped(at, length) else {
            return false;
        };
        self.file.write_all_at(&part, at).is_ok()
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        // The last part of a database with small pages may be no multiple of the block size.
        if at % BLOCK as u64 != 0 || bytes.len() % BLOCK != 0 {
            self.give_up()?;
        }
        match self.file.write_all_at(bytes, at) {
            // The disk has larger blocks, wrote only a part, or does not support writes past the cache.
            Err(error) if self.past_cache && backup_disk::cannot(&error) => {
                self.give_up()?;
                self.file.write_all_at(bytes, at)?;
            }
            result => result?,
        }
        if self.past_cache {
            return Ok(());
        }
        self.writeback.follow(self.file, at + bytes.len() as u64)
    }

    fn give_up(&mut self) -> io::Result<()> {
        if self.past_cache {
            pass_cache(self.file, false)?;
            self.past_cache = false;
        }
        Ok(())
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        // The client has a descriptor of the file as well, and may write to it through the cache.
        let _ = self.give_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::snapshot::pages::Log;

    /// Pages of 512 bytes: two whole parts, and an end that no disk can write past the cache. The WAL has newer
    /// content for one page.
    fn pages() -> (Pages, Vec<u8>) {
        let size = 512;
        let length = 2 * PART + BLOCK + size;
        let mut content: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
        let main = tempfile::tempfile().unwrap();
        main.write_all_at(&content, 0).unwrap();
        let log = tempfile::tempfile().unwrap();
        log.write_all_at(&[b'n'; 512], 56).unwrap();
        let newer = PART + 3 * size;
        content[newer..newer + size].fill(b'n');
        let pages = Pages {
            main,
            log: Some(Log {
                file: log,
                newest: [((newer / size + 1) as u32, 56)].into(),
            }),
            size: size as u64,
            count: (length / size) as u64,
            path: "a database".into(),
        };
        (pages, content)
    }

    fn read(file: &File) -> Vec<u8> {
        let mut content = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    #[test]
    fn the_copy_is_what_the_pages_are_whatever_its_end() {
        let (pages, content) = pages();
        let target = tempfile::tempfile_in(".").unwrap();
        let mut steps = vec![];
        copy(&pages, &target, 0, |done| {
            steps.push(done as usize);
            Ok(())
        })
        .unwrap();
        assert!(read(&target) == content);
        assert_eq!(steps, [PART, 2 * PART, content.len()]);
        // The other owner of the descriptor writes through the cache.
        target.write_all_at(b"x", 1).unwrap();
    }

    #[test]
    fn the_rest_is_where_it_belongs() {
        let (pages, content) = pages();
        let target = tempfile::tempfile_in(".").unwrap();
        let from = PART + 1000;
        copy(&pages, &target, from as u64, |_| Ok(())).unwrap();
        assert!(read(&target)[from..] == content[from..]);
    }

    #[test]
    fn what_the_kernel_cannot_give_is_read() {
        let (mut pages, mut content) = pages();
        pages.main.set_len(PART as u64 / 2).unwrap();
        content[PART / 2..].fill(0);
        let newest = pages.log.as_ref().unwrap().newest.keys().next().copied().unwrap();
        let newer = (newest as usize - 1) * pages.size as usize;
        content[newer..newer + pages.size as usize].fill(b'n');
        pages.path = "a database that grew in its log".into();
        let target = tempfile::tempfile_in(".").unwrap();
        copy(&pages, &target, 0, |_| Ok(())).unwrap();
        assert!(read(&target) == content);
    }

    #[test]
    fn the_progress_callback_may_end_the_copy() {
        let (pages, _) = pages();
        let target = tempfile::tempfile_in(".").unwrap();
        let ended = copy(
            &pages,
            &target,
            0,
            |_| Err(crate::error::Gone::Interrupted.into()),
        );
        assert!(ended.unwrap_err().is_gone());
        assert_eq!(target.metadata().unwrap().len(), PART as u64);
    }

    #[test]
    fn a_file_that_takes_nothing_is_an_error() {
        let (pages, _) = pages();
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("target");
        std::fs::write(&path, b"").unwrap();
        let target = File::open(path).unwrap();
        let failed = copy(&pages, &target, 0, |_| Ok(())).unwrap_err().to_string();
        assert!(
            failed.starts_with("cannot write the snapshot: Bad file descriptor"),
            "{failed}"
        );
    }
}
