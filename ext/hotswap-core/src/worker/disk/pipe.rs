//! The pipe that is the client's standard input or output. The worker reads or writes it itself: through the
//! connection every byte would be copied twice more, and two processes would wait for it.
//!
//! There is no wire, so there is nothing to check: a pipe does not lose bytes. A sender that dies shows on the wire;
//! here the client dies instead. So a thread that waits for the pipe watches the connection, too.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use crate::error::{Context, Error, Failed, Gone, Protocol, Result};
use crate::protocol::Connection;
use crate::sys::descriptors;
use crate::sys::poll::HANGS_UP;
use crate::worker::client::PATIENCE;

/// The maximum size of a pipe, unless the administrator has changed it, in bytes.
const LONGEST: i32 = 1024 * 1024;

/// A pipe that does not block.
#[derive(Debug)]
pub(crate) struct Pipe(File);

impl Pipe {
    /// Takes over a descriptor that does not block, so that the process at the other end cannot keep the worker
    /// waiting.
    pub(crate) fn take(descriptor: OwnedFd) -> Result<Self> {
        let flags = fcntl(&descriptor, FcntlArg::F_GETFL).context("cannot inspect the descriptor")?;
        let flags = OFlag::from_bits_retain(flags);
        if !flags.contains(OFlag::O_NONBLOCK) || descriptors::only_names(flags.bits()) {
            return Err(Protocol::NoRight { what: "the pipe" }.into());
        }
        // With a longer pipe both sides wait less often. If that is not allowed, the pipe keeps its size.
        descriptors::enlarge_pipe(&descriptor, LONGEST);
        Ok(Self(File::from(descriptor)))
    }

    /// Reads what is there, or waits until there is something. Returns 0 when the last writer has closed the pipe.
    pub(crate) fn read(&mut self, buffer: &mut [u8], client: &Connection) -> Result<usize> {
        loop {
            match self.0.read(buffer) {
                Ok(bytes) => return Ok(bytes),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    wait_for(self.0.as_fd(), PollFlags::POLLIN, client, None)?;
                }
                Err(error) => return Err(error).context("cannot read from standard input"),
            }
        }
    }

    /// Writes as fast as the reader takes it. Returns how much was written: all of it, or what the reader took
    /// before `until`.
    pub(crate) fn write(
        &mut self,
        bytes: &[u8],
        client: &Connection,
        until: Option<Instant>,
    ) -> Result<usize> {
        let mut written = 0;
        while written < bytes.len() {
            match self.0.write(&bytes[written..]) {
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if until.is_some_and(|until| until <= Instant::now()) {
                        break;
                    }
                    wait_for(self.0.as_fd(), PollFlags::POLLOUT, client, until)?;
                }
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    return Err(Failed::OutputClosed.into())
                }
                Err(error) => return Err(error).context("cannot write to standard output"),
            }
        }
        Ok(written)
    }
}

/// The error of a command whose pipe stands still.
pub(crate) fn stands_still(patience: Duration) -> Error {
    Protocol::IdlePipe { time: patience }.into()
}

/// How long the other end of a pipe may be idle.
pub(crate) fn patience(client: &Connection) -> Duration {
    client.patience().unwrap_or(PATIENCE)
}

/// Waits until the pipe is ready, or until `until`.
fn wait_for(
    pipe: BorrowedFd<'_>,
    ready: PollFlags,
    client: &Connection,
    until: Option<Instant>,
) -> Result<()> {
    let patience = patience(client);
    let wait = until.map_or(patience, |until| until.saturating_duration_since(Instant::now()));
    let millis = i32::try_from(wait.as_millis() + 1).unwrap_or(i32::MAX);
    let mut polled = [
        PollFd::new(pipe, ready),
        PollFd::new(client.as_fd(), PollFlags::from_bits_retain(HANGS_UP)),
    ];
    match nix::poll::poll(
        &mut polled,
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX),
    ) {
        Ok(0) if until.is_none() => Err(stands_still(patience)),
        Ok(_) if client.peer_is_gone() => Err(Gone::Client.into()),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno).context("cannot wait for the pipe"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eventually;
    use std::os::unix::net::UnixStream;

    fn connection() -> (Connection, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Connection::new(ours), theirs)
    }

    fn not_blocking(end: impl Into<OwnedFd>) -> OwnedFd {
        let end = end.into();
        fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        end
    }

    #[test]
    fn all_of_it_arrives_and_then_the_end() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut ends = (
            Pipe::take(not_blocking(reader)).unwrap(),
            Pipe::take(not_blocking(writer)).unwrap(),
        );
        let (client, _there) = connection();
        let sent: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(ends.1.write(&sent, &client, None).unwrap(), sent.len());
                drop(ends.1);
            });
            let mut buffer = vec![0; 70_000];
            loop {
                match ends.0.read(&mut buffer, &client).unwrap() {
                    0 => break,
                    bytes => received.extend_from_slice(&buffer[..bytes]),
                }
            }
        });
        assert!(received == sent);
    }

    #[test]
    fn a_client_that_goes_is_noticed_while_the_pipe_stands_still() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut pipe = Pipe::take(not_blocking(reader)).unwrap();
        let (client, there) = connection();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                drop(there);
            });
            let error = pipe.read(&mut [0; 10], &client).unwrap_err();
            assert!(error.is_gone(), "{error}");
        });
    }

    #[test]
    fn a_pipe_that_stands_still_is_given_up_after_the_time_of_the_command() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut pipe = Pipe::take(not_blocking(reader)).unwrap();
        let (client, _there) = connection();
        client.set_patience(Some(Duration::from_millis(50))).unwrap();
        let began = Instant::now();
        let error = pipe.read(&mut [0; 10], &client).unwrap_err().to_string();
        assert!(error.contains("has been idle for 0 s. Pass --timeout"), "{error}");
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    #[test]
    fn a_reader_that_has_gone_is_told_from_other_failures() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut pipe = Pipe::take(not_blocking(writer)).unwrap();
        drop(reader);
        let (client, _there) = connection();
        eventually(|| match pipe.write(b"x", &client, None) {
            Ok(_) => false,
            written => matches!(written, Err(Error::Failed(Failed::OutputClosed))),
        });
    }

    #[test]
    fn a_reader_that_takes_its_time_is_left_when_the_time_is_over() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let mut pipe = Pipe::take(not_blocking(writer)).unwrap();
        let (client, _there) = connection();
        let until = Instant::now() + Duration::from_millis(5);
        let written = pipe.write(&vec![0; 10_000_000], &client, Some(until)).unwrap();
        assert!((1..10_000_000).contains(&written));
        assert!(Instant::now() >= until);
    }

    #[test]
    fn a_pipe_that_would_block_is_not_taken() {
        let (reader, _writer) = std::io::pipe().unwrap();
        assert!(Pipe::take(reader.into()).is_err_and(|error| error.is_of_the_peer()));
    }
}
