//! The priority of a thread.

/// Lowers the priority of the calling thread. A nice value would lower that of the whole process.
pub fn lower_this_thread(_nice: libc::c_int) {
    // SAFETY: takes no pointer. If it fails, the work runs at full priority, which is correct too.
    unsafe { libc::pthread_set_qos_class_self_np(libc::qos_class_t::QOS_CLASS_UTILITY, 0) };
}
