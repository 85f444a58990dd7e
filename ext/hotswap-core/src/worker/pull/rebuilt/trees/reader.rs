//! Reads the pages of trees.

use super::obstacle::{Copied, Obstacle};
use crate::worker::snapshot::Pages;

/// How many bytes are read at once if the next pages seem to follow. The pages of trees that have grown at the same
/// time alternate, so a larger read would be in vain.
const AHEAD: usize = 64 * 1024;
/// A page that comes at most this many pages after the last one is near it.
const NEAR: u32 = 8;

/// Reads pages, and those that follow at the same time if that seems worthwhile.
pub(super) struct Reader<'a> {
    pages: &'a Pages,
    /// The content of the pages from `first` on.
    content: Vec<u8>,
    first: u32,
    last_asked: u32,
    /// How many pages may still be read: no sound tree has a page twice.
    left: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn of(pages: &'a Pages) -> Self {
        Self {
            pages,
            content: Vec::with_capacity(AHEAD),
            first: 1,
            last_asked: 0,
            left: pages.count,
        }
    }

    /// The page of this number.
    pub(super) fn page(&mut self, number: u32) -> Copied<&[u8]> {
        let (size, count) = (self.pages.size as usize, self.pages.count);
        self.left = self.left.checked_sub(1).ok_or(Obstacle::Damaged(number))?;
        if number < 2 || u64::from(number) > count {
            return Err(Obstacle::Damaged(number));
        }
        let here = (self.content.len() / size) as u32;
        if !(self.first..self.first + here).contains(&number) {
            let follows = number.wrapping_sub(self.last_asked) <= NEAR;
            let most = if follows { AHEAD / size } else { 1 };
            let length = (most as u64).min(count + 1 - u64::from(number)) as usize * size;
            self.content.resize(length, 0);
            self.first = number;
            if let Err(error) = self
                .pages
                .read(&mut self.content, (u64::from(number) - 1) * self.pages.size)
            {
                self.content.clear();
                return Err(error.into());
            }
        }
        self.last_asked = number;
        let begin = (number - self.first) as usize * size;
        Ok(&self.content[begin..begin + size])
    }
}
