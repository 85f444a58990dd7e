//! The priority of a thread.

/// Whether a lower priority shows as a nice value of the thread.
#[cfg(test)]
pub const IS_A_NICE_VALUE: bool = false;

/// Lowers the priority of the calling thread. A nice value would lower that of the whole process.
pub fn lower_this_thread(_nice: libc::c_int) {
    // SAFETY: takes no pointer. If it fails, the work runs at full priority, which is correct too.
    unsafe { libc::pthread_set_qos_class_self_np(libc::qos_class_t::QOS_CLASS_UTILITY, 0) };
}
