//! A program that is started without becoming a child of this process, and what it gets.
//!
//! A web server's master waits for *any* child of its own, and logs those that it does not know. A worker on a hung
//! disk may never end, and no process must have to wait for it. So the worker is a grandchild. The child in between
//! ends at once. How a platform starts the two is in its `spawn`.

use std::ffi::{CString, OsStr};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

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

impl<'a> Detached<'a> {
    /// Allocates everything that the grandchild needs, because a child of a process with threads must not allocate.
    pub(super) fn prepare(self) -> io::Result<Prepared<'a>> {
        let words = [self.program].into_iter().chain(self.arguments);
        let words: Vec<CString> = words
            .map(|word| CString::new(word.as_bytes()))
            .collect::<Result<_, _>>()?;
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            let pointers = strings.iter().map(|string| string.as_ptr());
            pointers.chain([ptr::null()]).collect()
        };
        Ok(Prepared {
            arguments: pointers(&words),
            variables: pointers(&self.environment),
            _words: words,
            _environment: self.environment,
            stdin: self.stdin,
            stdout: OpenOptions::new().write(true).open("/dev/null")?,
            own_group: self.own_group,
        })
    }
}

/// A program that can be run without allocating.
pub(super) struct Prepared<'a> {
    arguments: Vec<*const libc::c_char>,
    variables: Vec<*const libc::c_char>,
    // The pointers lead into these.
    _words: Vec<CString>,
    _environment: Vec<CString>,
    stdin: BorrowedFd<'a>,
    stdout: File,
    own_group: bool,
}

impl Prepared<'_> {
    /// Runs the program in the calling process. Returns only if it cannot, with the error's number. Async-signal-safe.
    pub(super) fn run(&self) -> i32 {
        let (stdin, stdout) = (self.stdin.as_raw_fd(), self.stdout.as_raw_fd());
        // SAFETY: the calls are async-signal-safe, and the pointers lead to C strings that live as long as `self`.
        unsafe {
            let in_place = match stdin {
                0 => libc::fcntl(0, libc::F_SETFD, 0),
                other => libc::dup2(other, 0),
            };
            if in_place >= 0 && libc::dup2(stdout, 1) >= 0 {
                let mut none: libc::sigset_t = std::mem::zeroed();
                libc::sigemptyset(&mut none);
                libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
                if self.own_group {
                    // Not a session of its own: Linux may give each session an equal share of the processors, however
                    // low its priority is.
                    libc::setpgid(0, 0);
                }
                libc::execve(
                    self.arguments[0],
                    self.arguments.as_ptr(),
                    self.variables.as_ptr(),
                );
            }
        }
        nix::errno::Errno::last_raw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn detached<'a>(program: &'a str, arguments: &'a [&'a str], stdin: &'a UnixStream) -> Detached<'a> {
        Detached {
            program: OsStr::new(program),
            arguments: arguments.iter().map(OsStr::new).collect(),
            environment: vec![CString::new("GREETING=hello").unwrap()],
            stdin: stdin.as_fd(),
            own_group: false,
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
