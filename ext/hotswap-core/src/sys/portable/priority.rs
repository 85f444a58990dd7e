//! The priority of a thread: POSIX has only one for all of a process.

/// Whether a lower priority shows as a nice value of the thread.
#[cfg(test)]
pub const IS_A_NICE_VALUE: bool = false;

/// Lowers the priority of the calling thread, where that is possible.
pub fn lower_this_thread(_nice: libc::c_int) {}
