//! Memory: unknown.

/// How many bytes of this process's writes may be in memory alone. Zero: the system does not report it.
pub fn may_wait() -> u64 {
    0
}

/// How much memory this process can still take, in bytes.
pub fn left() -> Option<u64> {
    None
}

/// How many processes the kernel has ended for lack of memory since the machine was started.
pub fn kills() -> Option<u64> {
    None
}

/// The memory of this process that counts towards RLIMIT_DATA, in bytes.
pub fn data() -> Option<u64> {
    None
}

/// Does nothing: no call does this on every Unix.
pub fn use_one_heap() {}
