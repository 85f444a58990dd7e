//! The first hundred bytes of a database file.

use super::file_type;
use super::node::long;
use crate::error::{BadFile, Result};
use crate::protocol::STANDARD_INPUT;

/// The fields of the header. <https://www.sqlite.org/fileformat2.html#the_database_header>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseHeader {
    /// In bytes.
    pub page_size: u64,
    /// The number of pages, if the header's count is valid.
    pub pages: Option<u64>,
    /// Whether the database is in WAL mode.
    pub wal: bool,
    /// The text encoding: 1 for UTF-8, 2 and 3 for UTF-16 little and big endian, 0 before any text is stored.
    pub encoding: u32,
}

/// The length of the header, in bytes.
pub(crate) const HEADER: usize = 100;

/// The offset of the two bytes that select the journal mode.
pub(crate) const JOURNAL_BYTES: u64 = 18;
/// The offset of the number of bytes at the end of each page that SQLite does not use.
pub(crate) const RESERVED: usize = 20;
/// The offset of the number that each transaction increments.
pub(crate) const CHANGE_COUNTER: usize = 24;
const PAGE_SIZE: usize = 16;
const PAGES: usize = 28;
const SCHEMA_FORMAT: usize = 44;
/// The offset of the largest root page. Not zero in a database with auto-vacuum.
const LARGEST_ROOT: usize = 52;
const ENCODING: usize = 56;
/// The change counter when the pages were counted.
const COUNTED_AT: usize = 92;

/// The schema format in which SQLite makes databases today.
const TODAY: u32 = 4;

/// SQLite locks bytes from this offset on, and neither reads nor writes the page that contains them.
pub(crate) const LOCKED_BYTES: u64 = 0x4000_0000;

/// The unused page, in a database that is long enough to have it.
pub(crate) fn locked_page(page_size: u32) -> u32 {
    (LOCKED_BYTES / u64::from(page_size)) as u32 + 1
}

/// Whether pages of a b-tree mean the same in both databases, of which these are the headers, except for the numbers of
/// pages in them.
pub(crate) fn have_the_same_trees(one: &[u8], other: &[u8]) -> bool {
    let same = |at: usize, length: usize| one.get(at..at + length) == other.get(at..at + length);
    let is = |at: usize, number: u32| [one, other].iter().all(|head| long(head, at) == Some(number));
    // With auto-vacuum, other pages say where each page belongs. Older formats store some values in another way.
    same(PAGE_SIZE, 2)
        && same(RESERVED, 1)
        && same(ENCODING, 4)
        && is(SCHEMA_FORMAT, TODAY)
        && is(LARGEST_ROOT, 0)
}

/// The number of pages, according to the header.
pub(crate) fn page_count(head: &[u8; HEADER]) -> u32 {
    long(head, PAGES).unwrap_or_default()
}

/// Changes the header as a transaction does after which the database has `pages` pages.
pub(crate) fn set_page_count(head: &mut [u8; HEADER], pages: u32) {
    let counter = long(head, CHANGE_COUNTER).unwrap_or_default().wrapping_add(1);
    for (at, number) in [(CHANGE_COUNTER, counter), (COUNTED_AT, counter), (PAGES, pages)] {
        head[at..at + 4].copy_from_slice(&number.to_be_bytes());
    }
}

impl DatabaseHeader {
    /// Parses a header, and refuses a file that cannot be a whole database. `length` is the length of the file in
    /// bytes, and `name` is what the user calls it.
    pub(crate) fn judge(head: &[u8; HEADER], length: u64, name: &str) -> Result<Self> {
        if length == 0 {
            return Err(empty(name).into());
        }
        if length < HEADER as u64 {
            return Err(no_header(&head[..length as usize], name).into());
        }
        let header = Self::judge_head(head, name)?;
        if let Some(announced) = header.announced().filter(|announced| *announced < length) {
            return Err(too_long(name, announced).into());
        }
        if length % header.page_size != 0 {
            return Err(BadFile::PartialPage {
                name: name.into(),
                length,
                page_size: header.page_size,
            }
            .into());
        }
        match header.announced() {
            Some(announced) if announced > length => Err(BadFile::Truncated {
                name: name.into(),
                announced,
                length,
            }
            .into()),
            _ => Ok(header),
        }
    }

    /// Makes those checks that need only the first hundred bytes.
    pub(crate) fn judge_head(head: &[u8; HEADER], name: &str) -> Result<Self> {
        if &head[..16] != b"SQLite format 3\0" {
            return Err(no_header(head, name).into());
        }
        let header = Self::read(head);
        if !(512..=65536).contains(&header.page_size) || !header.page_size.is_power_of_two() {
            return Err(invalid(name, "page size", header.page_size).into());
        }
        // SQLite itself looks only at two bits of it, but at all of them once it has written the header anew.
        let encoding = long(head, ENCODING).unwrap_or_default();
        if encoding > 3 {
            return Err(invalid(name, "text encoding", encoding.into()).into());
        }
        Ok(header)
    }

    /// The length of the file according to its header, in bytes, if the header says so.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.pages.map(|pages| pages * self.page_size)
    }

    /// Parses a header that is known to be valid.
    pub(crate) fn read(head: &[u8; HEADER]) -> Self {
        let word = |at: usize| long(head, at).unwrap_or_default();
        let page_size = match u16::from_be_bytes([head[PAGE_SIZE], head[PAGE_SIZE + 1]]) {
            1 => 65536,
            size => u64::from(size),
        };
        // The count is valid if the last change of the header wrote it.
        let valid = word(CHANGE_COUNTER) == word(COUNTED_AT) && word(PAGES) != 0;
        Self {
            page_size,
            pages: valid.then(|| u64::from(word(PAGES))),
            wal: head[18] == 2 || head[19] == 2,
            encoding: word(ENCODING),
        }
    }
}

/// The refusal of a file that goes on after the end that its header announces.
pub(crate) fn too_long(name: &str, announced: u64) -> BadFile {
    let name = name.into();
    BadFile::TooLong { name, announced }
}

fn invalid(name: &str, field: &'static str, value: u64) -> BadFile {
    let name = name.into();
    BadFile::Header { name, field, value }
}

const WHOLE: &str = "Make sure that the file is complete, and try again";
const REACHES: &str =
    "Make sure that the data reaches the command (docker exec and kubectl exec need -i), and try again";
const ANOTHER: &str = "Push an SQLite database";

fn empty(name: &str) -> BadFile {
    let next = if name == STANDARD_INPUT { REACHES } else { WHOLE };
    let name = name.into();
    BadFile::Empty { name, next }
}

fn no_header(head: &[u8], name: &str) -> BadFile {
    let (looks, next) = file_type::recognize(head)
        .unwrap_or_else(|| ("does not begin with an SQLite header".into(), ANOTHER));
    let name = name.into();
    BadFile::NotADatabase { name, looks, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pages: u32) -> [u8; HEADER] {
        let mut head = [0; HEADER];
        head[..16].copy_from_slice(b"SQLite format 3\0");
        head[16..18].copy_from_slice(&4096u16.to_be_bytes());
        head[18..20].copy_from_slice(&[2, 2]);
        head[24..28].copy_from_slice(&7u32.to_be_bytes());
        head[28..32].copy_from_slice(&pages.to_be_bytes());
        head[92..96].copy_from_slice(&7u32.to_be_bytes());
        head
    }

    #[test]
    fn a_whole_file_passes() {
        let header = DatabaseHeader::judge(&head(3), 3 * 4096, "new.sqlite3").unwrap();
        assert_eq!(
            header,
            DatabaseHeader {
                page_size: 4096,
                pages: Some(3),
                wal: true,
                encoding: 0
            }
        );
    }

    #[test]
    fn what_cannot_be_a_whole_database_is_refused() {
        for (head, length, why) in [
            (head(3), 0, "empty"),
            (head(3), 2 * 4096, "truncated"),
            (head(3), 3 * 4096 - 1, "truncated"),
            (head(3), 4 * 4096, "longer"),
            (head(3), 3 * 4096 + 7, "longer"),
            ([b'x'; HEADER], 4096, "not a database"),
        ] {
            let refused = DatabaseHeader::judge(&head, length, "new.sqlite3")
                .unwrap_err()
                .to_string();
            assert!(
                refused.contains(why) && refused.contains("new.sqlite3"),
                "{refused}"
            );
        }
    }
}
