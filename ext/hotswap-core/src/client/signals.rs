//! Ctrl-C, SIGTERM and SIGHUP: the command ends at once, and its connections with it, which aborts the swap.

use std::path::PathBuf;
use std::sync::{Mutex, Once, PoisonError};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::sys::exit::exit_now;

/// A named file that must not outlive the command.
static DRAFT: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Sets or clears the file to remove when a signal ends the command.
pub(super) fn set_draft(path: Option<PathBuf>) {
    *DRAFT.lock().unwrap_or_else(PoisonError::into_inner) = path;
}

/// From now on these signals end the process, as they would without Ruby's handlers.
pub(super) fn end_on_signals() {
    // A process may run several copies, one after the other.
    static ONCE: Once = Once::new();
    ONCE.call_once(listen);
}

fn listen() {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return; // Ruby's own handlers stay in place.
    };
    let waiting = move || {
        if let Some(signal) = signals.forever().next() {
            end_quietly(128 + signal);
        }
    };
    // Without the thread a signal has no effect until the command is done, which is not worth failing for.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(waiting);
}

/// Ends the process without running exit handlers.
pub(super) fn end_quietly(status: i32) -> ! {
    if let Some(draft) = DRAFT.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = std::fs::remove_file(draft);
    }
    exit_now(status)
}
