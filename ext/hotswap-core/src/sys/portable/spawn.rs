//! Starts a worker without making it a child of this process.
//!
//! A web server's master waits for *any* child of its own, and logs those that it does not know. A worker on a hung
//! disk may never end, and no process must have to wait for it. So the worker is a grandchild. The child in between
//! ends at once.

use std::ffi::{CString, OsStr};
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::ptr;
use std::time::Duration;

use nix::fcntl::{fcntl, FcntlArg};
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::wait::waitpid;
use nix::unistd::{fork, ForkResult, Pid};

use crate::sys::exit::exit_now;

/// A program to start, with everything that it gets.
#[derive(Debug)]
pub struct Detached<'a> {
    /// The path of the program.
    pub program: &'a OsStr,
    /// Its arguments.
    pub arguments: Vec<&'a OsStr>,
    /// `NAME=value`.
    pub environment: Vec<CString>,
    /// Becomes standard input. Standard output is discarded; standard error is inherited.
    pub stdin: BorrowedFd<'a>,
    /// Whether it gets its own process group, so that Ctrl-C and Ctrl-Z do not reach it.
    pub own_group: bool,
}

/// How long the program may take to begin. After that, another process has the other end of the report.
const BEGINNING: Duration = Duration::from_secs(5);
/// A report is one of these bytes and a number: the pid of the program, or the error that kept it from running.
const RUNS: u8 = b'p';
const FAILED: u8 = b'e';

/// Everything that the two children need. They may touch nothing else.
struct Plan {
    program: *const libc::c_char,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    stdin: RawFd,
    stdout: RawFd,
    report: RawFd,
    own_group: bool,
}

impl Detached<'_> {
    /// Starts the program. Returns its pid when it runs, or the error that kept it from running.
    pub fn spawn(self) -> io::Result<Pid> {
        let program = CString::new(self.program.as_bytes())?;
        let words = self.arguments.iter().map(|word| CString::new(word.as_bytes()));
        let arguments: Vec<CString> = words.collect::<Result<_, _>>()?;
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain([ptr::null()]).collect()
        };
        let mut argv = pointers(&arguments);
        argv.insert(0, program.as_ptr());
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        let (heard, told) = UnixStream::pair()?;
        // The fork handler closes what a child must not keep, and the program must keep this.
        let stdin = duplicate(self.stdin)?;
        let plan = Plan {
            program: program.as_ptr(),
            arguments: argv,
            environment: pointers(&self.environment),
            stdin: stdin.as_raw_fd(),
            stdout: nowhere.as_raw_fd(),
            report: told.as_raw_fd(),
            own_group: self.own_group,
        };
        // A signal handler of this process must not run in a child.
        let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // SAFETY: the child calls only async-signal-safe functions.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            between(&plan);
        }
        ours.thread_set_mask()?;
        drop(told);
        if let ForkResult::Parent { child } = forked? {
            // Another thread of the application may have waited for any child.
            let _ = waitpid(child, None);
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
    heard.set_read_timeout(Some(BEGINNING))?;
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
fn between(plan: &Plan) -> ! {
    // SAFETY: as in `spawn`.
    match unsafe { libc::fork() } {
        0 => run(plan),
        -1 => report(plan, FAILED, nix::errno::Errno::last_raw()),
        pid => report(plan, RUNS, pid),
    }
    exit_now(0)
}

/// The program, until it runs. Returns only if it does not.
fn run(plan: &Plan) {
    // SAFETY: the calls are async-signal-safe and the pointers are to C strings that the parent's copy keeps.
    unsafe {
        if libc::dup2(plan.stdin, 0) >= 0 && libc::dup2(plan.stdout, 1) >= 0 {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
            if plan.own_group {
                libc::setpgid(0, 0);
            }
            libc::execve(plan.program, plan.arguments.as_ptr(), plan.environment.as_ptr());
        }
    }
    report(plan, FAILED, nix::errno::Errno::last_raw());
}

fn report(plan: &Plan, kind: u8, number: i32) {
    let mut bytes = [kind; 5];
    bytes[1..].copy_from_slice(&number.to_ne_bytes());
    // SAFETY: the bytes outlive the call. Without a reader there is nothing to report.
    unsafe { libc::write(plan.report, bytes.as_ptr().cast(), bytes.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn detached<'a>(program: &'a str, arguments: &'a [&'a str], stdin: &'a UnixStream) -> Detached<'a> {
        Detached {
            program: OsStr::new(program),
            arguments: arguments.iter().map(OsStr::new).collect(),
            environment: vec![CString::new("GREETING=hello").unwrap()],
            stdin: stdin.as_fd(),
            own_group: true,
        }
    }

    #[test]
    fn a_grandchild_gets_arguments_environment_and_input() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let script = "read line; echo \"$GREETING $1 $line $$ $PPID\" >&0";
        let number = detached("/bin/sh", &["-c", script, "sh", "dear"], &theirs)
            .spawn()
            .unwrap();
        drop(theirs);
        ours.write_all(b"world\n").unwrap();
        let mut answer = String::new();
        ours.read_to_string(&mut answer).unwrap();
        let (words, parent) = answer.trim().rsplit_once(' ').unwrap();
        assert_eq!(words, format!("hello dear world {number}"));
        assert_ne!(parent.parse::<u32>().unwrap(), std::process::id());
    }

    #[test]
    fn what_keeps_it_from_running_is_told() {
        let (_ours, theirs) = UnixStream::pair().unwrap();
        let error = detached("/does/not/exist", &[], &theirs).spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
