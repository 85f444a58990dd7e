//! A worker that writes into the live file: `src/worker/in_place`. Calls of SQLite that no other process can
//! interrupt are one step.

use super::rules::{Rule, Rules};
use super::state::{Job, Plan, State, Worker};

/// The worker finds that a stranger has the file open.
pub(crate) fn choose(state: &mut State, which: usize) -> bool {
    let seen = state.stranger.has_open() == Some(state.folder.file);
    let worker = &mut state.workers[which];
    let may = seen && worker.job == Job::Looking && worker.operation;
    if may {
        worker.job = Job::Planning;
    }
    may
}

/// The first step once no other process is inside the fence.
pub(crate) fn first(rules: Rules) -> Job {
    match rules.has(Rule::LockThenLook) {
        true => Job::Locking,
        false => Job::TakingInNews,
    }
}

/// The next step, if it is possible now.
pub(crate) fn proceed(state: &mut State, rules: Rules, worker: &mut Worker) -> Option<Job> {
    let live = Some(state.folder.file);
    let next = match worker.job {
        Job::Planning => {
            worker.in_place = true;
            worker.file = live;
            worker.plan = Plan::Made;
            Job::AwaitingWriteLock
        }
        // Gates are open: no request waits for a transaction that a stranger has left open.
        Job::AwaitingWriteLock if !state.write_lock_is_free() => return None,
        Job::AwaitingWriteLock => Job::Reaching,
        // Another process is writing. The gates open again, and the worker tries once more later.
        Job::Locking if !state.write_lock_is_free() || state.is_read_and_keeps_writers_out() => {
            worker.again = true;
            Job::BackingOut
        }
        Job::Locking => {
            worker.write_lock = true;
            match rules.has(Rule::LockThenLook) {
                true => Job::TakingInNews,
                false => Job::Writing,
            }
        }
        Job::TakingInNews => {
            if rules.has(Rule::TakeInTheNews) {
                worker.plan = Plan::Made;
            }
            match rules.has(Rule::LockThenLook) {
                true => Job::Writing,
                false => Job::Locking,
            }
        }
        Job::Writing => {
            state.write(rules);
            state.folder.mixed |= !rules.has(Rule::OneTransaction);
            state.folder.hot = state.folder.rollback;
            Job::Announcing
        }
        Job::Committing => {
            state.folder.content += 1;
            state.by_hand = false;
            worker.announced = false;
            state.folder.hot = false;
            state.folder.mixed = worker.plan == Plan::Behind;
            if rules.has(Rule::SyncTheCommit) && state.folder.synced.0 == state.folder.file {
                state.folder.lasting = state.folder.content;
            }
            (worker.write_lock, worker.plan) = (false, Plan::None);
            worker.pushed = state.folder.content;
            Job::Quieting
        }
        other => unreachable!("{other:?} is no job in place"),
    };
    Some(next)
}
