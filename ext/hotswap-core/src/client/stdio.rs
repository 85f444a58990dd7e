//! Standard input, output or error, no matter which process created it.
//!
//! Whether a descriptor blocks is a property of the open file, and not of the descriptor: a pipe may come from a
//! program that made it non-blocking (Ruby does, and so does ssh). This module then waits for it, and does not
//! change it, which would surprise the program at the other end.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::sync::Arc;

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::unistd::Whence;

use super::Abort;
use crate::sys::descriptors;
use crate::sys::fork::{self, CloseInChild};

/// How much a writable pipe takes at once, in bytes. A longer write may wait for the reader.
const AT_ONCE: usize = libc::PIPE_BUF;

/// Standard input, output and error of a command.
#[derive(Debug)]
pub struct Streams {
    /// Read if the source is `-`.
    pub stdin: Stdio,
    /// Receives the database in a pull to `-`, and the `OK` of a push.
    pub stdout: Stdio,
    /// Receives everything else.
    pub stderr: Stdio,
}

/// A standard stream that may be non-blocking.
#[derive(Debug)]
pub struct Stdio {
    /// A forked child that kept the end of a pipe would keep the other end from seeing the end. Dropped before `file`.
    _private: CloseInChild,
    file: File,
    abort: Option<Arc<Abort>>,
}

impl Stdio {
    /// Makes reading and writing fail once the command is asked to end. They then block only in a poll.
    pub fn until(mut self, abort: &Arc<Abort>) -> Self {
        self.abort = Some(abort.clone());
        self
    }

    /// A second handle of the same stream. It can be written to even after the command was asked to end.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        fork::without_fork(|| self.file.try_clone().map(Self::from))
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.file.is_terminal()
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.file.metadata().is_ok_and(|metadata| metadata.is_dir())
    }

    /// A second stream to hand over for reading: a file that is read from its beginning, or a pipe.
    pub(crate) fn source_to_hand_over(&self) -> Option<Self> {
        fork::without_fork(|| self.open_source().map(Self::from))
    }

    fn open_source(&self) -> Option<File> {
        let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL).ok()?);
        if flags & OFlag::O_ACCMODE == OFlag::O_WRONLY {
            return None;
        }
        match self.file.metadata().ok()?.file_type() {
            kind if kind.is_file() && self.is_at_its_beginning() => self.file.try_clone().ok(),
            kind if kind.is_fifo() => self.reopen(OpenOptions::new().read(true)),
            _ => None,
        }
    }

    /// A second stream to hand over for writing: a pipe, or a new, empty file as the shell's `>` creates it. Into a file
    /// that already has content, or that the shell opened with `>>`, this process writes itself, at its current position.
    pub(crate) fn target_to_hand_over(&self) -> Option<Self> {
        fork::without_fork(|| self.open_target().map(Self::from))
    }

    fn open_target(&self) -> Option<File> {
        let metadata = self.file.metadata().ok()?;
        match metadata.file_type() {
            kind if kind.is_fifo() => self.reopen(OpenOptions::new().write(true)),
            kind if kind.is_file() && metadata.len() == 0 && self.is_new()? => self.file.try_clone().ok(),
            _ => None,
        }
    }

    fn is_new(&self) -> Option<bool> {
        let flags = OFlag::from_bits_retain(fcntl(&self.file, FcntlArg::F_GETFL).ok()?);
        let writable = flags & OFlag::O_ACCMODE != OFlag::O_RDONLY && !flags.contains(OFlag::O_APPEND);
        Some(writable && self.is_at_its_beginning())
    }

    /// Whether this is the standard output of the whole process.
    pub(crate) fn is_that_of_the_process(&self) -> bool {
        let own = nix::sys::stat::fstat(std::io::stdout());
        let this = nix::sys::stat::fstat(&self.file);
        matches!((own, this), (Ok(own), Ok(this)) if (own.st_dev, own.st_ino) == (this.st_dev, this.st_ino))
    }

    fn is_at_its_beginning(&self) -> bool {
        nix::unistd::lseek(&self.file, 0, Whence::SeekCur) == Ok(0)
    }

    /// Opens the stream again, so that the new descriptor does not block while the old one keeps its flags for other
    /// processes. Fails without /proc, and for a pipe of another user.
    fn reopen(&self, options: &mut OpenOptions) -> Option<File> {
        options.custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC);
        descriptors::reopen(&self.file, options).ok()
    }

    /// Whether this is a pipe whose reader has gone.
    pub(crate) fn is_broken(&self) -> bool {
        // macOS reports only what it is asked for, and then POLLHUP in place of POLLERR.
        let mut polled = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        nix::poll::poll(&mut polled, PollTimeout::ZERO).is_ok()
            && polled[0]
                .revents()
                .is_some_and(|events| events.intersects(PollFlags::POLLERR | PollFlags::POLLHUP))
    }

    fn retry<T>(
        &mut self,
        ready: PollFlags,
        mut attempt: impl FnMut(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            if self.abort.is_some() {
                self.wait(ready)?;
            }
            match attempt(&mut self.file) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(ready)?,
                done => return done,
            }
        }
    }

    /// Waits until one of the two can be read. Returns whether `other` can.
    fn is_other_ready(&self, other: BorrowedFd<'_>) -> io::Result<bool> {
        let polled = |descriptor| PollFd::new(descriptor, PollFlags::POLLIN);
        let mut both = vec![polled(other), polled(self.file.as_fd())];
        both.extend(self.abort.as_ref().map(|abort| polled((**abort).as_fd())));
        loop {
            match nix::poll::poll(&mut both, PollTimeout::NONE) {
                Ok(_) => return Ok(both[0].any().unwrap_or(true)),
                Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn wait(&self, ready: PollFlags) -> io::Result<()> {
        let abort = self.abort.as_ref();
        let mut polled = vec![PollFd::new(self.file.as_fd(), ready)];
        polled.extend(abort.map(|abort| PollFd::new((**abort).as_fd(), PollFlags::POLLIN)));
        match nix::poll::poll(&mut polled, PollTimeout::NONE) {
            Ok(_) if abort.is_some_and(|abort| abort.asked()) => Err(io::Error::new(
                ErrorKind::ConnectionAborted,
                "the command was interrupted",
            )),
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self {
            _private: CloseInChild::keep(&file),
            file,
            abort: None,
        }
    }
}

impl From<Stdio> for File {
    fn from(stdio: Stdio) -> Self {
        stdio.file
    }
}

impl AsFd for Stdio {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Read for Stdio {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLIN, |file| file.read(buffer))
    }
}

/// A standard input that ends as soon as the peer sends something. A worker that has ended does so, and then the
/// command does not wait for more input.
pub(super) struct UntilAnswered<'a> {
    input: &'a mut Stdio,
    peer: BorrowedFd<'a>,
    /// Whether it has ended early.
    pub(super) ended_early: bool,
}

impl<'a> UntilAnswered<'a> {
    /// For a command that sends `input` to `peer`.
    pub(super) fn new(input: &'a mut Stdio, peer: BorrowedFd<'a>) -> Self {
        Self {
            input,
            peer,
            ended_early: false,
        }
    }
}

impl Read for UntilAnswered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.ended_early = self.input.is_other_ready(self.peer)?;
        match self.ended_early {
            true => Ok(0),
            false => self.input.read(buffer),
        }
    }
}

impl Write for Stdio {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = if self.abort.is_some() { AT_ONCE } else { usize::MAX };
        self.retry(PollFlags::POLLOUT, |file| {
            file.write(&bytes[..bytes.len().min(most)])
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eventually;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    fn pipe_that_does_not_block() -> (Stdio, Stdio) {
        let (reader, writer) = io::pipe().unwrap();
        let stdio = |end: OwnedFd| {
            fcntl(&end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
            Stdio::from(File::from(end))
        };
        (stdio(reader.into()), stdio(writer.into()))
    }

    #[test]
    fn a_pipe_that_does_not_block_is_waited_for_on_both_sides() {
        let (mut reader, mut writer) = pipe_that_does_not_block();
        // Far more than a pipe holds.
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let expected = sent.clone();
        let sender = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            writer.write_all(&sent).unwrap();
        });
        let mut received = Vec::new();
        reader.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert!(received == expected);
    }

    #[test]
    fn a_command_that_is_to_end_waits_for_no_pipe_any_more() {
        let abort = Abort::new().unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let [reader, writer] = [OwnedFd::from(reader), writer.into()].map(|end| Stdio::from(File::from(end)));
        let (mut reader, mut writer) = (reader.until(&abort), writer.until(&abort));
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| reader.read(&mut [0; 10]));
            std::thread::sleep(Duration::from_millis(5));
            abort.ask();
            assert!(reading.join().unwrap().is_err());
        });
        assert!(writer.write_all(&[0; 1_000_000]).is_err());
    }

    #[test]
    fn input_ends_early_when_its_peer_has_something_to_say() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut reader = Stdio::from(File::from(OwnedFd::from(reader)));
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut input = UntilAnswered::new(&mut reader, ours.as_fd());
        let mut byte = [0];
        writer.write_all(b"x").unwrap();
        assert!(input.read(&mut byte).unwrap() == 1 && !input.ended_early);
        theirs.write_all(b"done").unwrap();
        assert!(input.read(&mut byte).unwrap() == 0 && input.ended_early);
    }

    #[test]
    fn a_pipe_that_blocks_is_left_by_a_writer_whose_command_is_to_end() {
        let abort = Abort::new().unwrap();
        let (_reader, writer) = io::pipe().unwrap();
        let mut writer = Stdio::from(File::from(OwnedFd::from(writer))).until(&abort);
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| writer.write_all(&[0; 1_000_000]));
            std::thread::sleep(Duration::from_millis(5));
            abort.ask();
            assert!(writing.join().unwrap().is_err());
        });
    }

    #[test]
    fn a_pipe_without_a_reader_breaks_at_once() {
        let (reader, mut writer) = pipe_that_does_not_block();
        assert!(!writer.is_broken());
        drop(reader);
        eventually(|| writer.is_broken());
        let error = writer.write_all(&[0; 1_000_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
