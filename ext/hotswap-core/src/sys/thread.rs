//! The threads of the core in a process that belongs to Ruby.

/// Blocks the signals of the process in the calling thread, so that Ruby's threads get them.
pub fn leave_signals_to_others() {
    // The only possible error is an invalid argument.
    let _ = nix::sys::signal::SigSet::all().thread_block();
}
