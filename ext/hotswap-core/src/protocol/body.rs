//! A body: bytes in chunks, then their length and checksum.

use std::io::{self, Read};

use xxhash_rust::xxh3::Xxh3Default;

use super::connection::Connection;
use super::frame::{Kind, LONGEST_CHUNK};
use super::message::{End, Message};
use crate::error::{BadFile, Context, Gone, Protocol, Result};

/// The size of a full chunk, in bytes. Each travels in one frame.
pub const CHUNK: usize = LONGEST_CHUNK;

/// Sends a body. If it is dropped before [`BodyWriter::finish`], the receiver sees no end, and aborts.
pub struct BodyWriter<'a> {
    connection: &'a Connection,
    hash: Xxh3Default,
    length: u64,
}

impl<'a> BodyWriter<'a> {
    /// Begins a body on `connection`.
    pub fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            hash: Xxh3Default::new(),
            length: 0,
        }
    }

    /// Sends everything in `source`.
    pub fn copy_from(&mut self, source: &mut impl Read) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let filled = fill(source, &mut chunk).context("cannot read the source")?;
            if filled > 0 {
                self.send(&chunk[..filled])?;
            }
            if filled < chunk.len() {
                return Ok(());
            }
        }
    }

    /// Sends a chunk of at most [`CHUNK`] bytes.
    pub fn send(&mut self, chunk: &[u8]) -> Result<()> {
        self.hash.update(chunk);
        self.length += chunk.len() as u64;
        self.connection.send_frame(Kind::Body, chunk)
    }

    /// The connection that the body is sent on.
    pub fn connection(&self) -> &Connection {
        self.connection
    }

    /// Sends the length and the checksum. Only then may the receiver trust the data.
    pub fn finish(self) -> Result<End> {
        let end = End {
            length: self.length,
            checksum: self.hash.digest(),
        };
        let payload = serde_json::to_vec(&end).map_err(|source| Protocol::Unsendable { source })?;
        self.connection.send_frame(Kind::End, &payload)?;
        Ok(end)
    }
}

/// Reads until the buffer is full or the source ends, so that the short reads of a pipe make long frames.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The next part of a body.
#[derive(Debug)]
pub enum Piece<'a> {
    /// A chunk of data.
    Chunk(&'a [u8]),
    /// The end: everything arrived as it was sent.
    End,
    /// The sender gave up, and sent this message instead.
    Instead(Message),
}

/// Receives a body.
pub struct BodyReader<'a> {
    connection: &'a Connection,
    hash: Xxh3Default,
    length: u64,
    chunk: Vec<u8>,
}

impl<'a> BodyReader<'a> {
    /// Expects a body on `connection`.
    pub fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            hash: Xxh3Default::new(),
            length: 0,
            chunk: vec![0; CHUNK],
        }
    }

    /// Receives the next piece of the body.
    pub fn receive(&mut self) -> Result<Piece<'_>> {
        let header = self.connection.receive_header()?.ok_or(Gone::Sender)?;
        match header.kind {
            Kind::Body => {
                let chunk = &mut self.chunk[..header.length];
                self.connection.receive_payload(chunk)?;
                self.hash.update(chunk);
                self.length += chunk.len() as u64;
                Ok(Piece::Chunk(&self.chunk[..header.length]))
            }
            Kind::End => self.end(header.length).map(|()| Piece::End),
            Kind::Message => self.connection.receive_message(header).map(Piece::Instead),
        }
    }

    fn end(&mut self, length: usize) -> Result<()> {
        let mut payload = vec![0; length];
        self.connection.receive_payload(&mut payload)?;
        let announced: End =
            serde_json::from_slice(&payload).map_err(|source| Protocol::UnknownMessage { source })?;
        let received = End {
            length: self.length,
            checksum: self.hash.digest(),
        };
        if announced == received {
            return Ok(());
        }
        Err(BadFile::DamagedOnTheWay {
            sent: announced.length,
            checksum: announced.checksum,
            received: received.length,
            received_checksum: received.checksum,
        }
        .into())
    }

    /// How many bytes have arrived.
    pub fn received(&self) -> u64 {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Refused};
    use std::os::unix::net::UnixStream;

    fn pair() -> (Connection, Connection) {
        let (one, other) = UnixStream::pair().unwrap();
        (Connection::new(one), Connection::new(other))
    }

    fn collect(there: &mut Connection) -> Result<Vec<u8>> {
        let mut reader = BodyReader::new(there);
        let mut all = Vec::new();
        loop {
            match reader.receive()? {
                Piece::Chunk(chunk) => all.extend_from_slice(chunk),
                Piece::End => return Ok(all),
                Piece::Instead(message) => panic!("{message:?}"),
            }
        }
    }

    #[test]
    fn a_body_arrives_as_it_was_sent() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let (here, mut there) = pair();
            let data: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
            let sender = std::thread::spawn({
                let data = data.clone();
                move || {
                    let mut writer = BodyWriter::new(&here);
                    writer.copy_from(&mut &data[..]).unwrap();
                    writer.finish().unwrap();
                }
            });
            assert!(collect(&mut there).unwrap() == data);
            sender.join().unwrap();
        }
    }

    #[test]
    fn a_sender_that_dies_is_an_abort_and_never_an_end() {
        let (here, mut there) = pair();
        BodyWriter::new(&here).send(b"half of it").unwrap();
        drop(here);
        assert!(collect(&mut there).is_err_and(|error| error.is_gone()));
    }

    #[test]
    fn one_flipped_bit_is_refused() {
        let (here, mut there) = pair();
        let mut writer = BodyWriter::new(&here);
        writer.hash.update(b"what the sender read");
        writer.length += 20;
        writer
            .connection
            .send_frame(Kind::Body, b"what the sender rEad")
            .unwrap();
        writer.finish().unwrap();
        let refused = collect(&mut there).unwrap_err();
        assert!(matches!(refused, Error::Refused(Refused::File(_))), "{refused}");
    }
}
