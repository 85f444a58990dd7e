//! Starts a worker as a grandchild. The child in between has no exit signal, so that only this module's `wait` sees it.
//!
//! Both are started as `posix_spawn` does it, in this process's memory until they are done (`CLONE_VM |
//! CLONE_VFORK`): a `fork` would copy the page tables of the whole application while its threads wait.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

pub use crate::sys::detached::Detached;
use crate::sys::detached::Prepared;

const STACK: usize = 64 * 1024;

/// Everything that the two children need. They may touch nothing else.
struct Plan<'a> {
    program: Prepared<'a>,
    stack: *mut c_void,
    worker: AtomicI32,
    failed: AtomicI32,
}

impl Detached<'_> {
    /// Starts the program. Returns its pid when it runs, or the error that kept it from running.
    pub fn spawn(self) -> io::Result<Pid> {
        let (mut outer, mut inner) = (vec![0_u128; STACK / 16], vec![0_u128; STACK / 16]);
        let plan = Plan {
            program: self.prepare()?,
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
    // SAFETY: as in `between`.
    let plan = unsafe { &*plan.cast::<Plan>() };
    plan.failed.store(plan.program.run(), Ordering::Release);
    127
}
