//! The priority of a thread.

/// Whether a lower priority shows as a nice value of the thread.
#[cfg(test)]
pub const IS_A_NICE_VALUE: bool = true;

/// Lowers the priority of the calling thread to the value `nice`, and its priority at the disk. Priorities belong to
/// threads. An unprivileged process cannot raise a lowered priority again.
pub fn lower_this_thread(nice: libc::c_int) {
    const IOPRIO_WHO_PROCESS: libc::c_int = 1;
    const LOWEST_BEST_EFFORT: libc::c_int = (2 << 13) | 7;
    // SAFETY: neither call takes a pointer, and zero means the calling thread. If they fail, the work runs at full
    // priority, which is correct too.
    unsafe {
        // Root could raise the priority of an application that runs at a lower one.
        let current = libc::getpriority(libc::PRIO_PROCESS, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, nice.max(current));
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, LOWEST_BEST_EFFORT);
    }
}
