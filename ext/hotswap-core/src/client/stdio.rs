//! Standard input, output or error, whoever made it.
//!
//! Whether a descriptor blocks is a property of what is open, and not of the descriptor: a pipe may come from
//! somebody who wants it not to block (Ruby's do, and ssh sets its own so). It is waited for then, and not
//! changed: the other end's owner would be surprised.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::unistd::Whence;

/// See the module.
#[derive(Debug)]
pub struct Stdio(File);

impl Stdio {
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.0.is_terminal()
    }

    /// A descriptor to hand over for reading: of a file from its beginning on, or of a pipe.
    pub(crate) fn source_to_hand_over(&self) -> Option<File> {
        let flags = OFlag::from_bits_retain(fcntl(&self.0, FcntlArg::F_GETFL).ok()?);
        if flags & OFlag::O_ACCMODE == OFlag::O_WRONLY {
            return None;
        }
        match self.0.metadata().ok()?.file_type() {
            kind if kind.is_file() && self.is_at_its_beginning() => self.0.try_clone().ok(),
            kind if kind.is_fifo() => self.reopen(OpenOptions::new().read(true)),
            _ => None,
        }
    }

    /// A descriptor to hand over for writing: of a pipe, or of a file that is as a shell's `>` makes it. One that has
    /// content already, or takes what is written at its end (`>>`), is written to by this process, wherever it stands.
    pub(crate) fn target_to_hand_over(&self) -> Option<File> {
        let metadata = self.0.metadata().ok()?;
        match metadata.file_type() {
            kind if kind.is_fifo() => self.reopen(OpenOptions::new().write(true)),
            kind if kind.is_file() && metadata.len() == 0 && self.is_new()? => self.0.try_clone().ok(),
            _ => None,
        }
    }

    fn is_new(&self) -> Option<bool> {
        let flags = OFlag::from_bits_retain(fcntl(&self.0, FcntlArg::F_GETFL).ok()?);
        let writable = flags & OFlag::O_ACCMODE != OFlag::O_RDONLY && !flags.contains(OFlag::O_APPEND);
        Some(writable && self.is_at_its_beginning())
    }

    fn is_at_its_beginning(&self) -> bool {
        nix::unistd::lseek(&self.0, 0, Whence::SeekCur) == Ok(0)
    }

    /// Opened anew, so that it does not block for whom it is handed to, and is what it was for everybody else.
    /// Not possible where there is no /proc, or where a pipe belongs to another user.
    fn reopen(&self, options: &mut OpenOptions) -> Option<File> {
        options
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
            .ok()
    }

    /// Whether it is a pipe that nobody reads any more.
    pub(crate) fn is_broken(&self) -> bool {
        let mut polled = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        nix::poll::poll(&mut polled, PollTimeout::ZERO).is_ok()
            && polled[0]
                .revents()
                .is_some_and(|events| events.contains(PollFlags::POLLERR))
    }

    fn retry<T>(
        &mut self,
        ready: PollFlags,
        mut attempt: impl FnMut(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match attempt(&mut self.0) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut polled = [PollFd::new(self.0.as_fd(), ready)];
                    match nix::poll::poll(&mut polled, PollTimeout::NONE) {
                        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                done => return done,
            }
        }
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self(file)
    }
}

impl Read for Stdio {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLIN, |file| file.read(buffer))
    }
}

impl Write for Stdio {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.retry(PollFlags::POLLOUT, |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_pipe_that_nobody_reads_any_more_is_broken_and_not_waited_for() {
        let (reader, mut writer) = pipe_that_does_not_block();
        drop(reader);
        let error = writer.write_all(&[0; 1_000_000]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
