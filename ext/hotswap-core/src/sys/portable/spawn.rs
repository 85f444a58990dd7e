//! Starts a worker as a grandchild.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::waitpid;
use nix::unistd::{fork, ForkResult, Pid};

pub use crate::sys::detached::Detached;
use crate::sys::detached::Prepared;
use crate::sys::exit::exit_now;

/// How long the program may take to begin. After that, another process has the other end of the report.
const BEGINNING: Duration = Duration::from_secs(5);
/// A report is one of these bytes and a number: the pid of the program, or the error that kept it from running.
const RUNS: u8 = b'p';
const FAILED: u8 = b'e';

impl Detached<'_> {
    /// Starts the program. Returns its pid when it runs, or the error that kept it from running.
    pub fn spawn(self) -> io::Result<Pid> {
        let (heard, told) = UnixStream::pair()?;
        // Before the fork: macOS changes no socket whose other end has been closed.
        heard.set_read_timeout(Some(BEGINNING))?;
        let report = told.as_raw_fd();
        // The fork handler closes what a child must not keep, and the program must keep this.
        let stdin = duplicate(self.stdin)?;
        let program = Detached {
            stdin: stdin.as_fd(),
            ..self
        }
        .prepare()?;
        // A signal handler of this process must not run in a child.
        let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // SAFETY: the child calls only async-signal-safe functions.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            between(&program, report);
        }
        ours.thread_set_mask()?;
        drop(told);
        if let ForkResult::Parent { child } = forked? {
            // Another thread of the application may have waited for any child.
            while waitpid(child, None) == Err(Errno::EINTR) {}
        }
        outcome(heard)
    }
}

fn duplicate(descriptor: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let copy = fcntl(descriptor.as_fd(), FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Reads the reports until the program runs, which closes the other end.
fn outcome(mut heard: UnixStream) -> io::Result<Pid> {
    let mut pid = None;
    let mut report = [0; 5];
    while heard.read_exact(&mut report).is_ok() {
        let number = i32::from_ne_bytes(report[1..].try_into().expect("four bytes"));
        match report[0] {
            FAILED => return Err(io::Error::from_raw_os_error(number)),
            _ => pid = Some(Pid::from_raw(number)),
        }
    }
    pid.ok_or_else(|| io::Error::other("the process that starts the program has ended"))
}

/// The child in between: starts the program, and ends.
fn between(program: &Prepared, to: RawFd) -> ! {
    // SAFETY: as in `spawn`.
    match unsafe { libc::fork() } {
        0 => report(to, FAILED, program.run()),
        -1 => report(to, FAILED, Errno::last_raw()),
        pid => report(to, RUNS, pid),
    }
    exit_now(0)
}

fn report(to: RawFd, kind: u8, number: i32) {
    let mut bytes = [kind; 5];
    bytes[1..].copy_from_slice(&number.to_ne_bytes());
    // SAFETY: the bytes outlive the call. Without a reader there is nothing to report.
    unsafe { libc::write(to, bytes.as_ptr().cast(), bytes.len()) };
}
