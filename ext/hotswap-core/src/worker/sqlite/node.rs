//! One page of a b-tree.
//!
//! <https://www.sqlite.org/fileformat2.html#b_tree_pages>

const INTERIOR_INDEX: u8 = 2;
const INTERIOR_TABLE: u8 = 5;
const LEAF_INDEX: u8 = 10;
const LEAF_TABLE: u8 = 13;

/// The least that a cell takes, in bytes.
const LEAST: usize = 4;
/// Pages with a smaller usable part do not exist, in bytes.
const SMALLEST: usize = 480;

/// A page of a tree, whose cells have been read only as far as they were asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    page: &'a [u8],
    /// Where the header of the node begins.
    begin: usize,
    kind: u8,
    count: usize,
    /// The usable part of a page, in bytes.
    usable: usize,
}

/// An entry of a node: a row, a key, or what leads to a child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    /// Where it begins and ends in the page, without what it has on overflow pages.
    pub begin: usize,
    pub end: usize,
    /// The page to the left of it, in an interior node.
    pub child: Option<u32>,
    /// In a table: the rowid, or what no rowid to the left exceeds.
    pub rowid: Option<i64>,
    pub overflow: Option<Overflow>,
}

/// What does not fit into a cell. The last four bytes of the cell are the number of its first page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overflow {
    pub first: u32,
    /// In bytes.
    pub length: u64,
}

impl<'a> Node<'a> {
    /// The node in `page`, whose header begins at `begin`, and of which `usable` bytes are used. `None` if it is none.
    pub(crate) fn of(page: &'a [u8], begin: usize, usable: usize) -> Option<Self> {
        let kind = *page.get(begin)?;
        let known = [INTERIOR_INDEX, INTERIOR_TABLE, LEAF_INDEX, LEAF_TABLE].contains(&kind);
        (known && (SMALLEST..=page.len()).contains(&usable)).then_some(Self {
            page,
            begin,
            kind,
            count: usize::from(word(page, begin + 3)?),
            usable,
        })
    }

    fn is_leaf(&self) -> bool {
        matches!(self.kind, LEAF_INDEX | LEAF_TABLE)
    }

    /// Where the offsets of the cells begin.
    fn array(&self) -> usize {
        self.begin + if self.is_leaf() { 8 } else { 12 }
    }

    /// The cells, in their order. `None` stands for a cell that does not lie in the page.
    pub(crate) fn cells(self) -> impl Iterator<Item = Option<Cell>> + 'a {
        let array = self.array();
        (0..self.count).map(move |nth| {
            let begin = word(self.page, array + 2 * nth)?;
            self.cell(begin.into())
        })
    }

    /// The rightmost page below an interior node.
    pub(crate) fn last_child(&self) -> Option<u32> {
        match self.is_leaf() {
            true => None,
            false => long(self.page, self.begin + 8),
        }
    }

    fn cell(&self, begin: usize) -> Option<Cell> {
        let child = match self.is_leaf() {
            true => None,
            false => Some(long(self.page, begin)?),
        };
        let first = begin + if self.is_leaf() { 0 } else { 4 };
        let (number, mut end) = varint(self.page, first)?;
        let mut overflow = None;
        let mut rowid = (self.kind == INTERIOR_TABLE).then_some(number as i64);
        // The interior of a table has only keys.
        if self.kind != INTERIOR_TABLE {
            if self.kind == LEAF_TABLE {
                let (number, after) = varint(self.page, end)?;
                (rowid, end) = (Some(number as i64), after);
            }
            let length = usize::try_from(number).ok()?;
            let here = self.local(length);
            end = end.checked_add(here)?;
            if here < length {
                let first = long(self.page, end)?;
                let length = (length - here) as u64;
                overflow = Some(Overflow { first, length });
                end += 4;
            }
        }
        (end <= self.usable).then_some(Cell {
            begin,
            end,
            child,
            rowid,
            overflow,
        })
    }

    /// How many of `length` bytes of a cell are in the page.
    fn local(&self, length: usize) -> usize {
        let whole = match self.kind {
            LEAF_TABLE => self.usable - 35,
            _ => (self.usable - 12) * 64 / 255 - 23,
        };
        if length <= whole {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let here = least + (length - least) % (self.usable - 4);
        match here <= whole {
            true => here,
            false => least,
        }
    }

    /// The start of a page that gets the same cells, and nothing else: no bytes of cells that are gone.
    pub(crate) fn written_anew(self) -> Anew<'a> {
        let mut page = vec![0; self.page.len()];
        page[0] = self.kind;
        Anew {
            node: self,
            page,
            count: 0,
            free: self.usable,
        }
    }
}

/// A page that gets the cells of a node.
#[derive(Debug)]
pub(crate) struct Anew<'a> {
    node: Node<'a>,
    page: Vec<u8>,
    count: usize,
    /// Where the cells begin.
    free: usize,
}

impl Anew<'_> {
    /// Adds the next entry of the interior of a table: no rowid below `child` exceeds `largest`. The rowid in the page may
    /// be that of a row that is gone. `None` if the page has no room for it.
    pub(crate) fn add_divider(&mut self, cell: &Cell, child: u32, largest: Option<i64>) -> Option<()> {
        let before = cell.rowid?;
        let rowid = match largest {
            // A negative number would be longer.
            Some(largest) if largest < 0 && before >= 0 => 0,
            Some(largest) => largest.min(before),
            None => before,
        };
        let mut bytes = child.to_be_bytes().to_vec();
        bytes.extend(varint_of(rowid as u64));
        self.put(&bytes).map(drop)
    }

    /// Adds the next cell, which leads to the pages of these numbers. `None` if the page has no room for it.
    pub(crate) fn add(&mut self, cell: &Cell, child: Option<u32>, overflow: Option<u32>) -> Option<()> {
        let page = self.node.page;
        let bytes = page.get(cell.begin..cell.end)?;
        let begin = self.put(bytes)?;
        let end = begin + bytes.len();
        if let Some(child) = child {
            self.page[begin..begin + 4].copy_from_slice(&child.to_be_bytes());
        }
        if let Some(overflow) = overflow {
            self.page[end - 4..end].copy_from_slice(&overflow.to_be_bytes());
        }
        Some(())
    }

    /// Puts a cell into the page. Returns where it begins.
    fn put(&mut self, cell: &[u8]) -> Option<usize> {
        let array = if self.node.is_leaf() { 8 } else { 12 };
        let (at, begin) = (
            array + 2 * self.count,
            self.free.checked_sub(cell.len().max(LEAST))?,
        );
        if at + 2 > begin {
            return None;
        }
        self.page[begin..begin + cell.len()].copy_from_slice(cell);
        self.page[at..at + 2].copy_from_slice(&(begin as u16).to_be_bytes());
        (self.count, self.free) = (self.count + 1, begin);
        Some(begin)
    }

    /// The page, whose rightmost child has this number.
    pub(crate) fn finish(mut self, last_child: Option<u32>) -> Vec<u8> {
        self.page[3..5].copy_from_slice(&(self.count as u16).to_be_bytes());
        // Zero stands for 65,536.
        self.page[5..7].copy_from_slice(&(self.free as u16).to_be_bytes());
        if let Some(child) = last_child {
            self.page[8..12].copy_from_slice(&child.to_be_bytes());
        }
        self.page
    }
}

/// The bytes of a number, as [`varint`] reads them.
pub(crate) fn varint_of(number: u64) -> Vec<u8> {
    if number >> 56 != 0 {
        let mut bytes: Vec<u8> = (0..8)
            .map(|nth| (number >> (57 - 7 * nth)) as u8 | 0x80)
            .collect();
        bytes.push(number as u8);
        return bytes;
    }
    let mut bytes = vec![number as u8 & 0x7f];
    let mut rest = number >> 7;
    while rest > 0 {
        bytes.insert(0, rest as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

/// A number of up to nine bytes, and where it ends.
fn varint(page: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut number = 0;
    for nth in 0..8 {
        let byte = *page.get(at + nth)?;
        number = number << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((number, at + nth + 1));
        }
    }
    Some((number << 8 | u64::from(*page.get(at + 8)?), at + 9))
}

fn word(page: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(page.get(at..at + 2)?.try_into().ok()?))
}

/// The number of four bytes at this offset.
pub(crate) fn long(page: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(page.get(at..at + 4)?.try_into().ok()?))
}
