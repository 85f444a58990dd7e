//! Starts a worker without making it a child of this process.
//!
//! A web server's master waits for *any* child of its own, and logs those that it does not know. A worker on a hung
//! disk may never end, and no process must have to wait for it. So the worker is a grandchild. The child in between
//! ends at once, and has no exit signal, so that only this module's `wait` sees it.
//!
//! Both are started as `posix_spawn` does it, in this process's memory until they are done (`CLONE_VM |
//! CLONE_VFORK`): a `fork` would copy the page tables of the whole application while its threads wait.

use std::ffi::{c_int, c_void, CString, OsStr};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

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

const STACK: usize = 64 * 1024;

/// Everything that the two children need. They may touch nothing else.
struct Plan {
    program: *const libc::c_char,
    arguments: *const *const libc::c_char,
    environment: *const *const libc::c_char,
    stdin: RawFd,
    stdout: RawFd,
    own_group: bool,
    stack: *mut c_void,
    worker: AtomicI32,
    failed: AtomicI32,
}

impl Detached<'_> {
    /// Starts the program. Returns its pid when it runs, or the error that kept it from running.
    pub fn spawn(self) -> io::Result<Pid> {
        let program = CString::new(self.program.as_bytes())?;
        let arguments: Vec<CString> = self
            .arguments
            .iter()
            .map(|word| CString::new(word.as_bytes()))
            .collect::<Result<_, _>>()?;
        let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain([ptr::null()])
                .collect()
        };
        let mut argv = pointers(&arguments);
        argv.insert(0, program.as_ptr());
        let envp = pointers(&self.environment);
        let nowhere = OpenOptions::new().write(true).open("/dev/null")?;
        let (mut outer, mut inner) = (vec![0_u128; STACK / 16], vec![0_u128; STACK / 16]);
        let plan = Plan {
            program: program.as_ptr(),
            arguments: argv.as_ptr(),
            environment: envp.as_ptr(),
            stdin: self.stdin.as_raw_fd(),
            stdout: nowhere.as_raw_fd(),
            own_group: self.own_group,
            stack: top(&mut inner),
            worker: AtomicI32::new(0),
            failed: AtomicI32::new(0),
        };
        // A signal handler in a child would run in this process's memory.
        let ours = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let flags = libc::CLONE_VM | libc::CLONE_VFORK;
        // SAFETY: this thread waits until the child has ended, so the stacks, the plan and everything it points to
        // outlive the child. The child calls only async-signal-safe functions.
        let child = unsafe {
            libc::clone(
                between,
                top(&mut outer),
                flags,
                ptr::from_ref(&plan).cast_mut().cast(),
            )
        };
        let cloned = if child < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        };
        if child > 0 {
            // SAFETY: waits for this child only; __WCLONE is for children without an exit signal.
            unsafe { libc::waitpid(child, ptr::null_mut(), libc::__WCLONE) };
        }
        ours.thread_set_mask()?;
        cloned?;
        match plan.failed.load(Ordering::Acquire) {
            0 => Ok(Pid::from_raw(plan.worker.load(Ordering::Acquire))),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Stacks grow downwards.
fn top(stack: &mut [u128]) -> *mut c_void {
    stack.as_mut_ptr_range().end.cast()
}

/// The child in between: starts the worker, and ends.
extern "C" fn between(plan: *mut c_void) -> c_int {
    // SAFETY: the plan that `spawn` passes. It is valid while `spawn` waits.
    let shared = unsafe { &*plan.cast::<Plan>() };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: as in `spawn`: this child waits until the worker has its own memory.
    let worker = unsafe { libc::clone(worker, shared.stack, flags, plan) };
    if worker < 0 {
        shared
            .failed
            .store(nix::errno::Errno::last_raw(), Ordering::Release);
    }
    shared.worker.store(worker, Ordering::Release);
    0
}

/// The worker, until it has its own memory.
extern "C" fn worker(plan: *mut c_void) -> c_int {
    // SAFETY: as in `between`. The calls are async-signal-safe and the pointers are to C strings.
    unsafe {
        let plan = &*plan.cast::<Plan>();
        let in_place = if plan.stdin == 0 {
            libc::fcntl(0, libc::F_SETFD, 0)
        } else {
            libc::dup2(plan.stdin, 0)
        };
        if in_place >= 0 && libc::dup2(plan.stdout, 1) >= 0 {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, ptr::null_mut());
            if plan.own_group {
                // Not a session of its own: the kernel may give each session an equal share of the processors, however
                // low its priority is.
                libc::setpgid(0, 0);
            }
            libc::execve(plan.program, plan.arguments, plan.environment);
        }
        plan.failed
            .store(nix::errno::Errno::last_raw(), Ordering::Release);
        127
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
