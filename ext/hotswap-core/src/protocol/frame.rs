//! The five bytes before every payload.

use crate::error::{Protocol, Result};

/// The length of a header, in bytes.
pub const HEADER_LENGTH: usize = 5;
/// The longest message between a client and the application, in bytes. Schema differences and integrity reports fit.
/// No peer can make a process hold more in memory.
pub const LONGEST_MESSAGE: usize = 256 * 1024;
/// The longest message between a leader and its worker, in bytes: 100,000 databases fit.
pub const LONGEST_HANDOVER: usize = 64 * 1024 * 1024;
/// The longest chunk of a body, in bytes.
pub(super) const LONGEST_CHUNK: usize = 1024 * 1024;

/// The kind of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A [`Message`](super::Message), as JSON.
    Message = 1,
    /// A piece of a body.
    Body = 2,
    /// The [`End`](super::End) of a body, as JSON.
    End = 3,
}

/// Kind and length of the payload that follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of the payload.
    pub kind: Kind,
    /// The length of the payload, in bytes.
    pub length: usize,
}

impl Header {
    /// The bytes of the header.
    pub fn to_bytes(self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [self.kind as u8, 0, 0, 0, 0];
        bytes[1..].copy_from_slice(&(self.length as u32).to_be_bytes());
        bytes
    }

    /// Parses a header. Refuses one that no valid peer sends, before memory is allocated for it.
    pub fn parse(bytes: [u8; HEADER_LENGTH]) -> Result<Self> {
        Self::parse_up_to(LONGEST_MESSAGE, bytes)
    }

    /// Like `parse`, with another limit for messages.
    pub fn parse_up_to(longest_message: usize, bytes: [u8; HEADER_LENGTH]) -> Result<Self> {
        let length = u32::from_be_bytes(bytes[1..].try_into().expect("four bytes")) as usize;
        let (kind, longest) = match bytes[0] {
            1 => (Kind::Message, longest_message),
            2 => (Kind::Body, LONGEST_CHUNK),
            3 => (Kind::End, LONGEST_MESSAGE),
            kind => return Err(Protocol::UnknownFrame { kind }.into()),
        };
        if length > longest {
            return Err(Protocol::LongFrame { length, longest }.into());
        }
        Ok(Self { kind, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire() {
        for kind in [Kind::Message, Kind::Body, Kind::End] {
            let header = Header { kind, length: 4711 };
            assert_eq!(Header::parse(header.to_bytes()).unwrap(), header);
        }
    }

    #[test]
    fn foreign_kinds_and_monstrous_lengths_are_refused() {
        assert!(Header::parse(*b"GET /").is_err());
        assert!(Header::parse([2, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(Header::parse([1, 0, 8, 0, 0]).is_err());
        assert!(Header::parse([0; 5]).is_err());
    }
}
