//! Work that may take its time: copying and checking, next to an application that serves requests.
//!
//! Priorities belong to threads. An unprivileged process cannot raise a lowered priority again, and the thread that
//! keeps the gates closed must never run at a low one: on two busy cores that part took 15 ms at nice 0, and 1.1 s
//! at nice 19. So work that can wait runs in its own thread.

use super::last_words::Room;
use crate::sys::priority::lower_this_thread;

/// While other programs keep every core busy, a thread with this value gets a quarter of a core
/// (`sched_prio_to_weight` in the kernel). A push of 100 MB then took 3.6 times as long as on an idle machine, 7.7
/// times with 10, and 19 times with 19. The requests of the application were as fast with 5 as with 10.
const NICE: libc::c_int = 5;

/// The size of the thread's stack, in bytes: half of what Ruby gives the threads of a web server. A rule in a pushed
/// file that needs more ends the worker now, and not the application a moment later.
const STACK: usize = 512 * 1024;

/// Runs `work` in its own thread, and waits for it. `low` lowers the priority of that thread.
pub(super) fn at_low_priority<T: Send>(low: bool, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("low priority".into())
            .stack_size(STACK);
        let work = move || {
            if low {
                lower_this_thread(NICE);
            }
            let _room = Room::for_last_words();
            work()
        };
        let thread = thread
            .spawn_scoped(scope, work)
            .expect("a process can start one more thread");
        // Passes on a panic of the thread.
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::priority;
    use crate::testing::pending;

    fn nice() -> libc::c_int {
        // SAFETY: takes no pointer; asks for the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    #[test]
    fn only_the_thread_that_may_wait_is_lowered() {
        if !priority::IS_A_NICE_VALUE {
            return pending("this platform has no nice value for a thread");
        }
        let before = nice();
        assert_eq!(at_low_priority(true, nice), NICE.max(before));
        assert_eq!(nice(), before);
    }

    #[test]
    fn none_is_lowered_where_haste_matters_more() {
        assert_eq!(at_low_priority(false, nice), nice());
    }
}
