//! The first hundred bytes of a database file.

use crate::error::{Error, Result};

/// What the header says. <https://www.sqlite.org/fileformat2.html#the_database_header>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseHeader {
    /// In bytes.
    pub page_size: u64,
    /// How many pages the database has, where the header's own count is valid.
    pub pages: Option<u64>,
    /// Whether readers look for a -wal.
    pub wal: bool,
    /// How text is stored: 1, 2 or 3 for UTF-8 and UTF-16, little and big endian; 0 before there is any.
    pub encoding: u32,
}

/// Where the two bytes lie that say how the file is journalled.
pub const JOURNAL_BYTES: u64 = 18;

impl DatabaseHeader {
    /// Reads a header, and refuses a file that cannot be a whole database: `length` is the file's.
    pub fn judge(head: &[u8; 100], length: u64) -> Result<Self> {
        if length == 0 {
            return Err(refused("the file is empty"));
        }
        if length < 100 || &head[..16] != b"SQLite format 3\0" {
            return Err(refused(
                "file is not a database: it does not begin with an SQLite header",
            ));
        }
        let header = Self::read(head);
        if !(512..=65536).contains(&header.page_size) || !header.page_size.is_power_of_two() {
            return Err(refused(&format!(
                "file is not a database: its page size of {} is impossible",
                header.page_size
            )));
        }
        if length % header.page_size != 0 {
            return Err(refused(&format!(
                "the file is truncated: its {length} bytes are not a whole number of {}-byte pages",
                header.page_size
            )));
        }
        if let Some(pages) = header.pages.filter(|pages| pages * header.page_size != length) {
            let kind = if pages * header.page_size > length {
                "truncated"
            } else {
                "longer than it says"
            };
            return Err(refused(&format!(
                "the file is {kind}: its header announces {} bytes, and it has {length}",
                pages * header.page_size
            )));
        }
        Ok(header)
    }

    /// Reads a header that is known to be one.
    pub fn read(head: &[u8; 100]) -> Self {
        let word = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let page_size = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65536,
            size => u64::from(size),
        };
        // The count is valid if it was written by the same change as the rest.
        let valid = word(24) == word(92) && word(28) != 0;
        Self {
            page_size,
            pages: valid.then(|| u64::from(word(28))),
            wal: head[18] == 2 || head[19] == 2,
            encoding: word(56),
        }
    }
}

fn refused(why: &str) -> Error {
    Error::Refused(format!("{why}; the running database is untouched"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(pages: u32) -> [u8; 100] {
        let mut head = [0; 100];
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
        let header = DatabaseHeader::judge(&head(3), 3 * 4096).unwrap();
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
            ([b'x'; 100], 4096, "not a database"),
        ] {
            let refused = DatabaseHeader::judge(&head, length).unwrap_err().to_string();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
