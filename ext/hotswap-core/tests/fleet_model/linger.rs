//! A worker after its rename: `src/worker/live/replaced.rs`.

use super::rules::{Rule, Rules};
use super::state::{End, Lease, State, Stranger};

/// Waits until no process has the replaced file open. Ends with the file locked, so that no process can read or
/// write it.
pub(crate) fn proceed(state: &mut State, rules: Rules, which: usize) -> bool {
    let worker = state.workers[which];
    if rules.has(Rule::Linger) && worker.lease == Lease::Broken {
        state.release_lease(which);
        return true;
    }
    let watches = rules.has(Rule::Linger) && rules.has(Rule::Lease);
    if watches && end(state, which) == End::Unguarded {
        return false;
    }
    state.end_worker(which, End::Done);
    true
}

/// Whether no process has the replaced file, if there is one, any more.
pub(crate) fn end(state: &State, which: usize) -> End {
    let replaced = state.workers[which]
        .file
        .filter(|file| *file != state.folder.file);
    match state.stranger {
        Stranger::AtTheDoor(file) if replaced == Some(file) => End::Unguarded,
        there if replaced.is_some() && there.has_open() == replaced => End::Unguarded,
        _ => End::Done,
    }
}
