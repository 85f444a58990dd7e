//! The priority of a thread: POSIX has only one for all of a process.

/// Lowers the priority of the calling thread, where that is possible.
pub fn lower_this_thread(_nice: libc::c_int) {}
