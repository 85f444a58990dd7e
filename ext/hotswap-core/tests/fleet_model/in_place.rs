//! A worker that writes into the live file: `src/worker/in_place`, one step where SQLite does something that nobody can
//! come in between of.

use super::rules::{Rule, Rules};
use super::state::{Job, Plan, State, Worker};

/// Sees that a stranger has the file open, instead of looking at it only.
pub fn choose(state: &mut State, which: usize) -> bool {
    let seen = state.stranger.has_open() == Some(state.folder.file);
    let worker = &mut state.workers[which];
    let may = seen && worker.job == Job::Looking && worker.operation;
    if may {
        worker.job = Job::Planning;
    }
    may
}

/// What comes first once nobody else is inside the fence.
pub fn first(rules: Rules) -> Job {
    match rules.has(Rule::LockThenLook) {
        true => Job::Locking,
        false => Job::TakingInNews,
    }
}

/// What comes next, if it can now.
pub fn proceed(state: &mut State, rules: Rules, worker: &mut Worker) -> Option<Job> {
    let live = Some(state.folder.file);
    let next = match worker.job {
        Job::Planning => {
            worker.in_place = true;
            worker.file = live;
            worker.plan = Plan::Made;
            Job::AwaitingWriteLock
        }
        // Gates are open: nobody is held up for a transaction that somebody forgot.
        Job::AwaitingWriteLock if !state.write_lock_is_free() => return None,
        Job::AwaitingWriteLock => Job::Reaching,
        // Somebody else writes: gates open again, and later once more.
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
