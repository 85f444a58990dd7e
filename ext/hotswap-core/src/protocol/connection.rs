//! A blocking connection that carries frames, and file descriptors with them.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::socket::{recvmsg, sendmsg, ControlMessage, ControlMessageOwned};

use super::frame::{Header, Kind, HEADER_LENGTH, LONGEST_HANDOVER, LONGEST_MESSAGE};
use super::message::Message;
use crate::error::{Error, Gone, Protocol, Result};
use crate::sys::fork::{self, CloseInChild};
use crate::sys::poll::hung_up;
use crate::sys::socket::{
    connect, is_of_a_closed_peer, keep_private, unconnected, without_signals, RECEIVING, SENDING,
};

/// One end of a connection. A forked child does not keep it: otherwise the peer would not notice that this process
/// ends.
#[derive(Debug)]
pub struct Connection {
    // Dropped before the stream that it refers to.
    _private: CloseInChild,
    stream: UnixStream,
    /// Received, but not taken yet.
    descriptors: Mutex<VecDeque<OwnedFd>>,
    /// Held while a frame is sent, so that the frames of two threads do not mix.
    sending: Mutex<()>,
    longest: usize,
}

/// The maximum number of descriptors with one frame.
const MOST_DESCRIPTORS: usize = 4;

/// Ignores an error that only means that the peer has closed the socket. A call on such a socket never waits, and what
/// the peer sent before can still be read.
fn unless_gone(changed: io::Result<()>) -> io::Result<()> {
    match changed {
        Err(error) if is_of_a_closed_peer(&error) => Ok(()),
        changed => changed,
    }
}

impl Connection {
    /// Takes over a connected socket.
    pub fn new(stream: UnixStream) -> Self {
        without_signals(&stream);
        Self {
            _private: CloseInChild::keep(&stream),
            stream,
            descriptors: Mutex::default(),
            sending: Mutex::default(),
            longest: LONGEST_MESSAGE,
        }
    }

    /// Connects to the socket at `path`.
    pub fn to(path: &Path) -> io::Result<Self> {
        let connection = fork::without_fork(|| unconnected().map(Self::new))?;
        // May wait for a busy server, and a fork must not.
        connect(&connection.stream, path)?;
        Ok(connection)
    }

    /// A connection between a leader and its worker, for messages with a long list of databases.
    pub fn of_a_worker(stream: UnixStream) -> Self {
        Self {
            longest: LONGEST_HANDOVER,
            ..Self::new(stream)
        }
    }

    /// A second handle of the same socket, for another thread to write to. It does not wait for this one: a thread that
    /// has to end the process must not wait for a thread that is stuck in sending.
    pub fn try_clone(&self) -> io::Result<Self> {
        let copy = |stream| Self {
            longest: self.longest,
            ..Self::new(stream)
        };
        fork::without_fork(|| self.stream.try_clone().map(copy))
    }

    /// Gives up on a peer that neither sends nor takes a byte for this long.
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        unless_gone(self.stream.set_read_timeout(patience))?;
        unless_gone(self.stream.set_write_timeout(patience))
    }

    /// How long the peer may neither send nor take a byte; `None` means forever.
    pub fn patience(&self) -> Option<Duration> {
        self.stream.read_timeout().ok().flatten()
    }

    /// Sends a message.
    pub fn send(&self, message: &Message) -> Result<()> {
        self.send_with(message, &[])
    }

    /// Sends a message with descriptors. The peer gets copies of its own.
    pub fn send_with(&self, message: &Message, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let to_json =
            |message: &Message| serde_json::to_vec(message).map_err(|source| Protocol::Unsendable { source });
        let mut payload = to_json(message)?;
        if payload.len() > self.longest {
            payload = to_json(&message.shortened(self.longest)?)?;
        }
        self.send_frame_with(Kind::Message, &payload, descriptors)
    }

    /// Sends one frame.
    pub fn send_frame(&self, kind: Kind, payload: &[u8]) -> Result<()> {
        self.send_frame_with(kind, payload, &[])
    }

    fn send_frame_with(&self, kind: Kind, payload: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let _sending = lock(&self.sending);
        let header = Header {
            kind,
            length: payload.len(),
        }
        .to_bytes();
        let raw: Vec<RawFd> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
        let control = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() {
            &control[..0]
        } else {
            &control[..]
        };
        let mut pieces = [IoSlice::new(&header), IoSlice::new(payload)];
        let sent = retry(|| {
            Ok(sendmsg::<()>(
                self.stream.as_raw_fd(),
                &pieces,
                control,
                SENDING,
                None,
            )?)
        })
        .map_err(gone)?;
        let mut rest = &mut pieces[..];
        IoSlice::advance_slices(&mut rest, sent);
        while !rest.is_empty() {
            let sent = retry(|| {
                let none: &[ControlMessage] = &[];
                Ok(sendmsg::<()>(self.stream.as_raw_fd(), rest, none, SENDING, None)?)
            })
            .map_err(gone)?;
            IoSlice::advance_slices(&mut rest, sent);
        }
        Ok(())
    }

    /// Reads a header. `None` means that the peer closed the connection between two frames.
    pub fn receive_header(&self) -> Result<Option<Header>> {
        let mut bytes = [0; HEADER_LENGTH];
        let mut have = 0;
        while have < HEADER_LENGTH {
            match retry(|| self.receive_some(&mut bytes[have..])).map_err(gone)? {
                0 if have == 0 => return Ok(None),
                0 => return Err(Gone::MidFrame.into()),
                n => have += n,
            }
        }
        Header::parse_up_to(self.longest, bytes).map(Some)
    }

    fn receive_some(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut room = nix::cmsg_space!([RawFd; MOST_DESCRIPTORS]);
        let mut pieces = [IoSliceMut::new(buffer)];
        let received = recvmsg::<()>(self.stream.as_raw_fd(), &mut pieces, Some(&mut room), RECEIVING)?;
        for control in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                // SAFETY: the kernel has just created these descriptors for this process, so they have no other
                // owner.
                let owned = raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                lock(&self.descriptors).extend(owned.inspect(keep_private));
            }
        }
        Ok(received.bytes)
    }

    /// Reads the payload that a header announced.
    pub fn receive_payload(&self, payload: &mut [u8]) -> Result<()> {
        (&self.stream)
            .read_exact(payload)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Gone::MidFrame.into(),
                _ => gone(error),
            })
    }

    /// Reads a message. `None` means that the peer closed the connection between two frames.
    pub fn receive(&self) -> Result<Option<Message>> {
        let Some(header) = self.receive_header()? else {
            return Ok(None);
        };
        self.receive_message(header).map(Some)
    }

    /// Reads the message that a header announced.
    pub fn receive_message(&self, header: Header) -> Result<Message> {
        if header.kind != Kind::Message {
            return Err(Protocol::DataInstead.into());
        }
        let mut payload = vec![0; header.length];
        self.receive_payload(&mut payload)?;
        serde_json::from_slice(&payload).map_err(|source| Protocol::UnknownMessage { source }.into())
    }

    /// The next descriptor that came with a message.
    pub fn take_descriptor(&self) -> Option<OwnedFd> {
        lock(&self.descriptors).pop_front()
    }

    /// Whether the peer has gone. Its last messages may still be unread.
    pub fn peer_is_gone(&self) -> bool {
        hung_up(self.stream.as_raw_fd())
    }

    /// Ends the connection, even if another process has a copy of its descriptor.
    pub fn close(self) {
        // The only possible error is that the peer has closed the connection first.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// The socket itself.
    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A thread that panics leaves no half-done change behind either lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
    }
}

fn gone(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Protocol::Silent.into(),
        _ => Gone::Broken { source: error }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eventually;
    use std::io::{Seek, SeekFrom};

    fn pair() -> (Connection, Connection) {
        let (one, other) = UnixStream::pair().unwrap();
        (Connection::new(one), Connection::new(other))
    }

    #[test]
    fn a_message_arrives_with_its_descriptor() {
        let (here, there) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        here.send_with(&Message::Target, &[file.as_fd()]).unwrap();
        assert_eq!(there.receive().unwrap(), Some(Message::Target));
        let mut received = std::fs::File::from(there.take_descriptor().unwrap());
        received.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(std::io::read_to_string(received).unwrap(), "content");
        assert!(there.take_descriptor().is_none());
    }

    #[test]
    fn a_peer_that_closes_between_frames_is_an_end_and_one_in_a_frame_is_an_error() {
        let (here, there) = pair();
        drop(here);
        assert_eq!(there.receive().unwrap(), None);

        let (mut here, there) = pair();
        here.write_all(&[1, 0, 0]).unwrap();
        drop(here);
        assert!(there.receive().is_err());

        let (mut here, there) = pair();
        here.write_all(&[1, 0, 0, 0, 9, b'{']).unwrap();
        drop(here);
        assert!(there.receive().is_err());
    }

    #[test]
    fn a_peer_that_says_nothing_is_given_up() {
        let (_here, there) = pair();
        there.set_patience(Some(Duration::from_millis(20))).unwrap();
        assert!(there
            .receive()
            .unwrap_err()
            .to_string()
            .contains("stopped sending"));
    }

    #[test]
    fn a_peer_that_has_gone_is_no_error_before_its_last_message_is_read() {
        let (here, there) = pair();
        here.send(&Message::Status("bye".into())).unwrap();
        drop(here);
        there.set_patience(Some(Duration::from_secs(1))).unwrap();
        assert_eq!(there.receive().unwrap(), Some(Message::Status("bye".into())));
        assert_eq!(there.receive().unwrap(), None);
        let refused = |code| unless_gone(Err(io::Error::from_raw_os_error(code))).is_err();
        assert_eq!(refused(libc::EINVAL), cfg!(not(target_os = "macos")));
        assert!(refused(libc::EBADF));
    }

    #[test]
    fn a_long_message_passes_through_a_small_buffer() {
        let (here, there) = pair();
        let text = "x".repeat(200_000);
        let sender = std::thread::spawn({
            let text = text.clone();
            move || here.send(&Message::Status(text)).unwrap()
        });
        assert_eq!(there.receive().unwrap(), Some(Message::Status(text)));
        sender.join().unwrap();
    }

    #[test]
    fn a_text_that_is_too_long_arrives_shortened_and_anything_else_is_an_error() {
        let (here, there) = pair();
        let sender = std::thread::spawn(move || {
            here.send(&Message::Error("\u{1}ß".repeat(300_000))).unwrap();
            let join = Message::Join {
                session: "x".repeat(300_000),
            };
            let error = here.send(&join).unwrap_err().to_string();
            assert!(error.contains("longer than 262144"), "{error}");
        });
        let Some(Message::Error(text)) = there.receive().unwrap() else {
            panic!("no error");
        };
        assert!(
            text.starts_with("\u{1}ß") && text.ends_with("(900000 bytes in all)"),
            "{}",
            text.len()
        );
        sender.join().unwrap();
    }

    #[test]
    fn a_worker_may_be_told_more_than_a_stranger() {
        let (here, there) = UnixStream::pair().unwrap();
        let (here, there) = (Connection::of_a_worker(here), Connection::of_a_worker(there));
        let long = Message::Join {
            session: "x".repeat(3_000_000),
        };
        let sender = std::thread::spawn({
            let long = long.clone();
            move || here.send(&long).unwrap()
        });
        assert_eq!(there.receive().unwrap(), Some(long));
        sender.join().unwrap();
    }

    #[test]
    fn a_peer_that_hung_up_is_noticed() {
        let (here, there) = pair();
        assert!(!there.peer_is_gone());
        drop(here);
        eventually(|| there.peer_is_gone());
    }
}
