//! Where a pull to standard output goes, and how fast the reader takes it.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::protocol::{BodyWriter, Connection, Message, Plan};
use crate::worker::disk::pipe::{patience, stands_still, Pipe};

/// How long a reader may keep a snapshot waiting in any case, and how many bytes a second it has to take.
const GRACE: Duration = Duration::from_secs(1);
const SPEED: u64 = 256 * 1024 * 1024;

/// How often the worker checks whether it can still wait for a slow reader.
const GLANCE: Duration = Duration::from_millis(100);

/// The standard output of the client.
pub(super) struct Output<'a> {
    way: Way<'a>,
    sent: u64,
    took: Duration,
}

enum Way<'a> {
    /// The client's own pipe.
    Pipe(Pipe, &'a Connection),
    /// The client's connection. The client copies from it to its standard output.
    Wire(Box<BodyWriter<'a>>),
}

impl<'a> Output<'a> {
    /// Takes the client's `pipe` if it sent one, and otherwise the connection.
    pub(super) fn open(pipe: Option<OwnedFd>, client: &'a Connection) -> Result<Self> {
        let way = match pipe {
            Some(descriptor) => {
                client.send(&Message::Plan(Plan::Wait))?;
                Way::Pipe(Pipe::take(descriptor)?, client)
            }
            None => {
                client.send(&Message::Plan(Plan::ReceiveStream))?;
                Way::Wire(Box::new(BodyWriter::new(client)))
            }
        };
        Ok(Self {
            way,
            sent: 0,
            took: Duration::ZERO,
        })
    }

    /// Sends at most [`CHUNK`](crate::protocol::CHUNK) bytes to a reader that keeps up. Returns how many were sent:
    /// fewer than all means that a disk would have taken them sooner.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize> {
        let allowed = GRACE + Duration::from_secs_f64(self.sent as f64 / SPEED as f64);
        let Some(left) = allowed.checked_sub(self.took) else {
            return Ok(0);
        };
        let began = Instant::now();
        let sent = self.try_send(bytes, Some(began + left))?;
        self.took += began.elapsed();
        Ok(sent)
    }

    /// Sends bytes to a reader that may take its time.
    pub(super) fn send_all(&mut self, bytes: &[u8]) -> Result<()> {
        self.try_send(bytes, None).map(|_| ())
    }

    /// Sends bytes to a slow reader until `allowed` fails.
    pub(super) fn send_while(&mut self, mut bytes: &[u8], allowed: impl Fn() -> Result<()>) -> Result<()> {
        let mut moved = Instant::now();
        while !bytes.is_empty() {
            allowed()?;
            let sent = self.try_send(bytes, Some(Instant::now() + GLANCE))?;
            if sent > 0 {
                moved = Instant::now();
            } else if moved.elapsed() > patience(self.client()) {
                return Err(stands_still(patience(self.client())));
            }
            bytes = &bytes[sent..];
        }
        Ok(())
    }

    /// The connection sends a chunk as a whole, so a stalled reader is noticed only when it moves again.
    fn try_send(&mut self, bytes: &[u8], until: Option<Instant>) -> Result<usize> {
        let sent = match &mut self.way {
            Way::Pipe(pipe, client) => pipe.write(bytes, client, until)?,
            Way::Wire(body) => body.send(bytes).map(|()| bytes.len())?,
        };
        self.sent += sent as u64;
        Ok(sent)
    }

    /// How many bytes were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The client whose standard output this is.
    pub(super) fn client(&self) -> &Connection {
        match &self.way {
            Way::Pipe(_, client) => client,
            Way::Wire(body) => body.connection(),
        }
    }

    /// Reports the end of the data.
    pub(super) fn finish(self) -> Result<()> {
        match self.way {
            // The reader sees the end of the data when the pipe is closed.
            Way::Pipe(..) => Ok(()),
            Way::Wire(body) => body.finish().map(|_| ()),
        }
    }
}
