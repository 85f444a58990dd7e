//! The identity of a database's content: the same for the same pages, wherever they are.
//!
//! It does not depend on how the pages are stored: in the file or in the WAL, before or after a checkpoint, in WAL mode
//! or not, in the live database or in a copy. It changes with every page that SQLite writes, also if the rows stay the
//! same, as in a VACUUM.
//!
//! The pages are hashed in chunks of a fixed size, and then the hashes. So any number of threads can compute it, in any
//! order.

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

/// The identity of some content. People see it as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentId([u8; 16]);

impl ContentId {
    /// The identity of a database of `length` bytes, from the hashes of all its chunks, in their order.
    pub fn of_chunks(length: u64, hashes: &[u128]) -> Self {
        let mut all = length.to_le_bytes().to_vec();
        all.extend(hashes.iter().flat_map(|hash| hash.to_le_bytes()));
        Self(xxh3_128(&all).to_be_bytes())
    }
}

impl Display for ContentId {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for ContentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_one = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = is_one.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        let why = "it must be the identity that a pull has printed: 32 hexadecimal digits";
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| why.into())
    }
}

impl TryFrom<String> for ContentId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ContentId> for String {
    fn from(identity: ContentId) -> Self {
        identity.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_an_identity_is_read_again() {
        let identity = ContentId::of_chunks(4096, &[1, 2]);
        assert_eq!(identity.to_string().parse(), Ok(identity));
        assert_eq!(identity.to_string().len(), 32);
        for wrong in ["", "12", "+0000000000000000000000000000000", &"g".repeat(32)] {
            assert!(wrong.parse::<ContentId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_order_and_the_length_count() {
        assert_ne!(ContentId::of_chunks(9, &[1, 2]), ContentId::of_chunks(9, &[2, 1]));
        assert_ne!(ContentId::of_chunks(9, &[1]), ContentId::of_chunks(8, &[1]));
    }
}
