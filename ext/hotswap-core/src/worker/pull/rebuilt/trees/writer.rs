//! Writes the pages of trees.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::obstacle::{Copied, Obstacle};
use crate::error::Result;
use crate::worker::snapshot::CHUNK;
use crate::worker::sqlite::header::{locked_page, page_count, set_page_count, HEADER};

/// Gets new pages, and the byte at which they begin. Nothing writes these pages again. Can stop the copy.
pub(crate) type Written<'a> = dyn FnMut(&[u8], u64) -> Result<()> + 'a;

/// Writes pages, and new ones after all others.
pub(super) struct Writer<'a> {
    file: &'a File,
    /// Of a page, in bytes.
    size: usize,
    /// The page that SQLite does not use.
    locked: u32,
    /// The header of the file.
    head: [u8; HEADER],
    /// The number of the page after the last.
    end: u32,
    /// New pages that are not yet in the file.
    waiting: Vec<u8>,
    written: &'a mut Written<'a>,
}

impl<'a> Writer<'a> {
    /// Writes to a `file` with this header, whose pages have `size` bytes.
    pub(super) fn to(file: &'a File, head: [u8; HEADER], size: usize, written: &'a mut Written<'a>) -> Self {
        Self {
            file,
            size,
            locked: locked_page(size as u32),
            end: page_count(&head) + 1,
            head,
            waiting: Vec::with_capacity(CHUNK + size),
            written,
        }
    }

    /// The number of the next new page.
    pub(super) fn next(&self) -> u32 {
        self.used_from(self.end)
    }

    /// The number of the one after it.
    pub(super) fn following(&self) -> u32 {
        self.used_from(self.next() + 1)
    }

    fn used_from(&self, number: u32) -> u32 {
        number + u32::from(number == self.locked)
    }

    /// Adds a page. Returns its number.
    pub(super) fn append(&mut self, page: &[u8]) -> Copied<u32> {
        let number = self.next();
        if number > self.end {
            self.waiting.resize(self.waiting.len() + self.size, 0);
        }
        self.waiting.extend_from_slice(page);
        self.end = number + 1;
        if self.begin_of(self.end) % CHUNK as u64 == 0 {
            self.flush()?;
        }
        Ok(number)
    }

    /// Writes a page that the file has already.
    pub(super) fn put(&mut self, number: u32, page: &[u8]) -> Copied<()> {
        let at = self.begin_of(number);
        self.file.write_all_at(page, at).map_err(Obstacle::Unwritten)
    }

    /// Writes what is left, and the header, which then counts the pages.
    pub(super) fn finish(&mut self) -> Copied<()> {
        self.flush()?;
        set_page_count(&mut self.head, self.end - 1);
        self.file.write_all_at(&self.head, 0).map_err(Obstacle::Unwritten)
    }

    fn flush(&mut self) -> Copied<()> {
        let begin = self.begin_of(self.end) - self.waiting.len() as u64;
        let written = self.file.write_all_at(&self.waiting, begin);
        written.map_err(Obstacle::Unwritten)?;
        (self.written)(&self.waiting, begin)?;
        self.waiting.clear();
        Ok(())
    }

    /// The byte at which this page begins.
    fn begin_of(&self, number: u32) -> u64 {
        (u64::from(number) - 1) * self.size as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_pages_leave_out_the_one_that_sqlite_locks() {
        let file = tempfile::tempfile().unwrap();
        let mut behind = Vec::new();
        let mut written = |bytes: &[u8], at: u64| {
            behind.push((bytes.len(), at));
            Ok(())
        };
        let mut writer = Writer {
            file: &file,
            size: 512,
            locked: 4,
            head: [0; HEADER],
            end: 2,
            waiting: Vec::new(),
            written: &mut written,
        };
        let append = |writer: &mut Writer<'_>, byte: u8| writer.append(&[byte; 512]).ok();
        assert_eq!(append(&mut writer, b'a'), Some(2));
        assert_eq!((writer.next(), writer.following()), (3, 5));
        assert_eq!(append(&mut writer, b'b'), Some(3));
        assert_eq!((writer.next(), writer.following()), (5, 6));
        assert_eq!(append(&mut writer, b'c'), Some(5));
        assert!(writer.finish().is_ok());
        let mut content = [0; 5 * 512];
        file.read_exact_at(&mut content, 0).unwrap();
        let starts: Vec<_> = content.chunks(512).skip(1).map(|page| page[0]).collect();
        assert_eq!(starts, [b'a', b'b', 0, b'c']);
        assert_eq!(page_count(content[..HEADER].try_into().unwrap()), 5);
        assert_eq!(behind, [(4 * 512, 512)]);
    }

    #[test]
    fn new_pages_are_written_in_whole_chunks() {
        let file = tempfile::tempfile().unwrap();
        let mut behind = Vec::new();
        let mut written = |bytes: &[u8], at: u64| {
            behind.push((bytes.len(), at));
            Ok(())
        };
        let mut head = [0; HEADER];
        set_page_count(&mut head, 3);
        let mut writer = Writer::to(&file, head, 65536, &mut written);
        for _ in 0..6 {
            assert!(writer.append(&[b'x'; 65536]).is_ok());
        }
        assert!(writer.finish().is_ok());
        assert_eq!(
            behind,
            [(65536, 3 * 65536), (CHUNK, 4 * 65536), (65536, 8 * 65536)]
        );
    }
}
