//! Copies whole b-trees, page by page: faster than SQLite copies their rows.
//!
//! The worker writes each page anew, with its cells and nothing else. A rowid that only divides two pages becomes the
//! rowid of a row that is there. So the copy gets no byte of a row that is gone: not between the cells, not at the end
//! of an overflow page, and not on a free page. Pages get new numbers, without gaps.

mod obstacle;
mod reader;
mod roots;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::table::Table;
use crate::error::{Context, Result};
use crate::worker::snapshot::Pages;
use crate::worker::sqlite::header::{have_the_same_trees, HEADER, RESERVED};
use crate::worker::sqlite::node::{long, Cell, Node};

use obstacle::{Copied, Obstacle};
use reader::Reader;
use writer::{Writer, Written};

pub(super) use roots::Roots;

/// A deeper tree is damaged: each level of a sound tree has at least twice the pages of the level above it.
const DEEPEST: usize = 32;

/// Copies trees of a state into a file that has the same tables without rows.
pub(super) struct Trees<'a> {
    reader: Reader<'a>,
    writer: Writer<'a>,
    /// The usable part of a page, in bytes.
    usable: usize,
    /// What messages call the file.
    name: &'a Path,
}

impl<'a> Trees<'a> {
    /// For a `file` that no connection uses meanwhile. `None` if the two files do not have pages of the same kind.
    /// `written` gets all new pages.
    pub(super) fn between(
        pages: &'a Pages,
        file: &'a File,
        name: &'a Path,
        written: &'a mut Written<'a>,
    ) -> Result<Option<Self>> {
        let size = pages.size as usize;
        let mut first = vec![0; size];
        pages.read(&mut first, 0)?;
        let mut head = [0; HEADER];
        file.read_exact_at(&mut head, 0).on_path("cannot read", name)?;
        if !have_the_same_trees(&first, &head) {
            return Ok(None);
        }
        Ok(Some(Self {
            usable: size - usize::from(first[RESERVED]),
            reader: Reader::of(pages),
            writer: Writer::to(file, head, size, written),
            name,
        }))
    }

    /// Copies the trees of `table`, whose roots are in `from` and in the copy in `to`. Returns false, and copies
    /// nothing, if the two do not have the same trees.
    pub(super) fn copy(&mut self, table: &Table, from: &Roots, to: &Roots) -> Result<bool> {
        let Some(roots) = from.to(to, &table.name) else {
            return Ok(false);
        };
        for (root, new_root) in roots {
            let copied = self.tree(root, 0, Some(new_root));
            copied.map_err(|error| error.into_error(&table.name, self.name))?;
        }
        Ok(true)
    }

    /// Writes what is left, and the header, which then counts the pages.
    pub(super) fn finish(mut self) -> Result<()> {
        self.writer
            .finish()
            .map_err(|error| error.into_error("", self.name))
    }

    /// Copies the page `number` and what is below it. Returns its new number, which is `place` if there is one, and the
    /// largest rowid in it.
    fn tree(&mut self, number: u32, depth: usize, place: Option<u32>) -> Copied<(u32, Option<i64>)> {
        let damaged = || Obstacle::Damaged(number);
        if depth > DEEPEST {
            return Err(damaged());
        }
        let page = self.reader.page(number)?.to_vec();
        let node = Node::of(&page, 0, self.usable).ok_or_else(damaged)?;
        let mut anew = node.written_anew();
        let mut largest = None;
        for cell in node.cells() {
            let cell = cell.ok_or_else(damaged)?;
            let child = cell
                .child
                .map(|child| self.tree(child, depth + 1, None))
                .transpose()?;
            let added = match (child, cell.rowid) {
                (Some((child, largest)), Some(_)) => anew.add_divider(&cell, child, largest),
                _ => {
                    let overflow = self.overflow(&cell)?;
                    anew.add(&cell, child.map(|(child, _)| child), overflow)
                }
            };
            added.ok_or_else(damaged)?;
            largest = cell.rowid;
        }
        let last = node.last_child();
        let last = last.map(|child| self.tree(child, depth + 1, None)).transpose()?;
        if let Some((_, of_last)) = last {
            largest = of_last;
        }
        let page = anew.finish(last.map(|(child, _)| child));
        let number = match place {
            Some(place) => self.writer.put(place, &page).map(|()| place),
            None => self.writer.append(&page),
        }?;
        Ok((number, largest))
    }

    /// Copies what `cell` has on other pages. Returns the new number of the first.
    fn overflow(&mut self, cell: &Cell) -> Copied<Option<u32>> {
        let Some(overflow) = cell.overflow else {
            return Ok(None);
        };
        let first = self.writer.next();
        let (mut number, mut left) = (overflow.first, overflow.length);
        let room = self.usable as u64 - 4;
        while left > 0 {
            let length = left.min(room) as usize;
            left -= length as u64;
            let old = self.reader.page(number)?;
            let mut page = vec![0; old.len()];
            page[4..4 + length].copy_from_slice(&old[4..4 + length]);
            number = long(old, 0).unwrap_or_default();
            if left > 0 {
                page[..4].copy_from_slice(&self.writer.following().to_be_bytes());
            }
            self.writer.append(&page)?;
        }
        Ok(Some(first))
    }
}
