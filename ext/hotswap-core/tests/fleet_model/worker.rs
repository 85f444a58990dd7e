//! A worker, with one kernel call per step: `src/worker/fleet/mod.rs`, `push/mod.rs`, `push/replace.rs`,
//! `live/mod.rs` and `live/lease.rs`.

use super::fleet::Fleet;
use super::in_place;
use super::linger;
use super::rules::{Rule, Rules};
use super::state::{End, Job, Lease, Phase, Plan, State, Stranger, Worker};

/// The possible steps of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The next step in its order.
    Proceeds,
    /// Finds that a stranger has the file open, or that it cannot be replaced, before it closes a gate.
    GoesInPlace,
    /// Its clock has run out, its client has gone, or an error occurred: it undoes what it has begun.
    GivesUp,
    /// SIGKILL at any step, or its own watchdog between the fence lock and the rename.
    Dies,
}

impl Act {
    pub(crate) const ALL: [Act; 4] = [Act::Proceeds, Act::GoesInPlace, Act::GivesUp, Act::Dies];
}

/// Takes the step, or returns that it is not possible now.
pub(crate) fn act(state: &mut State, fleet: &Fleet, which: usize, act: Act) -> bool {
    let rules = fleet.rules;
    match act {
        Act::Proceeds => proceed(state, fleet, which),
        Act::GoesInPlace => in_place::choose(state, which),
        Act::GivesUp if state.folder.slow && stops_waiting_for_the_disk(state, rules, which) => true,
        Act::GivesUp => give_up(state, rules, which),
        Act::Dies => match state.workers[which].job {
            Job::NotStarted | Job::Ended(_) => false,
            _ => {
                kill(state, which, false);
                true
            }
        },
    }
}

/// The kernel releases everything that the worker held.
pub(crate) fn kill(state: &mut State, which: usize, by_member: bool) {
    let worker = &state.workers[which];
    let end = match linger::end(state, which) {
        _ if by_member && !worker.overdue => End::KilledTooEarly,
        End::Done if worker.job != Job::Lingering => End::Killed,
        end => end,
    };
    state.end_worker(which, end);
}

fn proceed(state: &mut State, fleet: &Fleet, which: usize) -> bool {
    let rules = fleet.rules;
    let (live, other) = (state.folder.file, state.workers[1 - which]);
    let mut worker = state.workers[which];
    let at = usize::from(worker.at);
    let settled = state.members.iter().all(|member| !member.locks[at].straggler);
    let closed = state.members.iter().all(|member| !member.locks[at].fence);
    let is_beside = other.at == worker.at;
    worker.job = match worker.job {
        // The leader hands the client over, and is not needed afterwards.
        Job::NotStarted if state.leader_is_dead => return false,
        Job::NotStarted => {
            worker.at = state.place;
            match rules.has(Rule::LookAsWorker) {
                true => Job::Queueing,
                false => Job::Looking,
            }
        }
        Job::Queueing if other.operation && is_beside => return false,
        Job::Queueing => {
            worker.operation = true;
            Job::Commanding
        }
        Job::Commanding => {
            let unsynced = matches!(state.boards[at].phase, Phase::Moving | Phase::Moved);
            if unsynced && rules.has(Rule::NextWorkerSyncs) {
                state.folder.sync();
            }
            state.boards[at].phase = Phase::Quiet;
            if worker.file.is_none() {
                Job::Looking
            } else {
                Job::Reaching
            }
        }
        Job::Looking if other.seized && other.file == Some(live) => return false,
        Job::Looking => {
            worker.file = Some(live);
            state.break_leases(live);
            state.folder.take_back();
            match worker.operation {
                true if fleet.obstacle => Job::Planning,
                true => Job::Reaching,
                false => Job::Queueing,
            }
        }
        Job::Planning
        | Job::AwaitingWriteLock
        | Job::Locking
        | Job::TakingInNews
        | Job::Writing
        | Job::Committing => match in_place::proceed(state, rules, &mut worker) {
            Some(next) => next,
            None => return false,
        },
        Job::Reaching if rules.has(Rule::WaitForEveryFence) && is_anybody_astray(state, worker.at) => {
            return false
        }
        Job::Reaching => Job::AskingToSettle,
        Job::AskingToSettle if state.boards[at].attempt == fleet.attempts => return false,
        Job::AskingToSettle => {
            state.boards[at].attempt += 1;
            state.boards[at].phase = Phase::Settle;
            Job::Settling
        }
        Job::Settling if settled && !(other.straggler && is_beside) => {
            worker.straggler = true;
            Job::AskingToClose
        }
        Job::AskingToClose => {
            state.boards[at].phase = Phase::Close;
            Job::Closing
        }
        Job::Closing if closed && !(other.fence && is_beside) => {
            worker.fence = true;
            begin(&worker, rules)
        }
        Job::Settling | Job::Closing => return false,
        Job::Reopening => {
            state.boards[at].phase = Phase::Quiet;
            worker.straggler = false;
            Job::AskingToSettle
        }
        // Closes its ordinary connection, and opens the only one.
        Job::Seizing => {
            worker.file = Some(live);
            let in_use =
                matches!(state.stranger, Stranger::Reading(file) | Stranger::Writing(file) if file == live);
            worker.seized = !is_open_elsewhere(state, which, live, in_use, &mut worker);
            if worker.seized && rules.has(Rule::ReadBeforeUnlink) {
                state.folder.take_back();
            }
            next_or_back_out(worker.seized, Job::Leasing, &mut worker)
        }
        Job::Leasing if !rules.has(Rule::Lease) => Job::Unlinking,
        Job::Leasing => {
            let open = state.stranger.has_open() == Some(live);
            let alone = !is_open_elsewhere(state, which, live, open, &mut worker);
            if alone {
                worker.lease = Lease::Held;
            }
            next_or_back_out(alone, Job::Unlinking, &mut worker)
        }
        Job::Unlinking => {
            state.folder.remove_sidecars();
            Job::SyncingUnlink
        }
        Job::SyncingUnlink => {
            if rules.has(Rule::SyncTheUnlink) {
                state.folder.sync();
            }
            Job::Confirming
        }
        Job::Confirming => {
            let same = worker.lease != Lease::Broken && worker.file == Some(live);
            next_or_back_out(same, Job::Announcing, &mut worker)
        }
        Job::Announcing if rules.has(Rule::FenceInPlace) && worker.at != state.place => Job::BackingOut,
        Job::Announcing if worker.file != Some(live) => Job::BackingOut,
        Job::Announcing => {
            worker.announced = rules.has(Rule::GenerationFirst);
            state.boards[at].generation += u8::from(worker.announced);
            state.boards[at].phase = Phase::Moving;
            if !rules.has(Rule::CommitThenTell) {
                state.told = state.folder.content + 1;
            }
            match worker.in_place {
                true => Job::Committing,
                false => Job::Renaming,
            }
        }
        Job::Renaming => {
            state.folder.file += 1;
            state.folder.content += 1;
            state.by_hand = false;
            worker.announced = false;
            worker.pushed = state.folder.content;
            Job::SyncingRename
        }
        Job::SyncingRename => {
            if rules.has(Rule::SyncTheRename) {
                state.folder.sync();
            }
            Job::Quieting
        }
        Job::AwaitingDisk => {
            state.folder.sync();
            worker.keeps_writers_out = false;
            Job::Quieting
        }
        Job::Quieting => {
            state.boards[at].generation += u8::from(!rules.has(Rule::GenerationFirst));
            state.boards[at].phase = Phase::Quiet;
            Job::LettingIn
        }
        Job::LettingIn | Job::LettingBackIn => {
            worker.straggler = false;
            worker.fence = false;
            worker.overdue = false;
            if worker.job == Job::LettingIn {
                Job::Dismissing
            } else {
                Job::GivingUp
            }
        }
        Job::Dismissing => {
            if worker.in_place {
                worker.file = None;
            }
            worker.operation = false;
            Job::Reporting
        }
        Job::Reporting => {
            state.told = state.told.max(worker.pushed);
            Job::Lingering
        }
        Job::Lingering => return linger::proceed(state, rules, which),
        Job::BackingOut => {
            // The database is closed before the fence is.
            state.release_lease(which);
            if worker.write_lock {
                state.folder.take_back();
            }
            if worker.announced && rules.has(Rule::WithdrawTheAnnouncement) {
                state.boards[at].generation -= 1;
            }
            worker.announced = false;
            (worker.lease, worker.file, worker.seized) = (Lease::None, None, false);
            (worker.write_lock, worker.plan) = (false, Plan::None);
            state.boards[at].phase = Phase::Quiet;
            Job::LettingBackIn
        }
        Job::GivingUp if worker.again => {
            worker.again = false;
            worker.refused_for_worker = false;
            Job::Planning
        }
        Job::GivingUp => return refuse(state, which),
        Job::Ended(_) => return false,
    };
    state.workers[which] = worker;
    true
}

/// If another process has the file open, the worker will write in place, unless the user does not want that.
fn next_or_back_out(alone: bool, next: Job, worker: &mut Worker) -> Job {
    if alone {
        return next;
    }
    worker.again = true;
    Job::BackingOut
}

/// Whether some member, or a process that is about to become one, declares another fence than this worker's.
fn is_anybody_astray(state: &State, fence: u8) -> bool {
    let mut members = state.members.iter();
    members.any(|member| member.declares().is_some_and(|declared| declared != fence))
}

/// The first step once no other process is inside the fence.
fn begin(worker: &Worker, rules: Rules) -> Job {
    match worker.in_place {
        true => in_place::first(rules),
        false => Job::Seizing,
    }
}

fn refuse(state: &mut State, which: usize) -> bool {
    let why = match state.workers[which].refused_for_worker {
        true => End::RefusedForAnotherWorker,
        false => End::Refused,
    };
    state.end_worker(which, why);
    true
}

/// Whether any process but this worker has the file open. `stranger` says whether the stranger has.
fn is_open_elsewhere(state: &State, which: usize, file: u8, stranger: bool, worker: &mut Worker) -> bool {
    let member = state.members.iter().any(|member| member.file == Some(file));
    let colleague = state.workers[1 - which].file == Some(file);
    worker.refused_for_worker = colleague && !member && !stranger;
    member || stranger || colleague
}

/// Requests stop waiting for the disk, and so does the next worker for the move of a dead one.
fn stops_waiting_for_the_disk(state: &mut State, rules: Rules, which: usize) -> bool {
    let (rollback, worker) = (state.folder.rollback, &mut state.workers[which]);
    let at = usize::from(worker.at);
    match worker.job {
        Job::SyncingRename => {
            worker.keeps_writers_out = rollback && rules.has(Rule::KeepWritersOut);
            (worker.straggler, worker.fence, worker.overdue) = (false, false, false);
            worker.job = Job::AwaitingDisk;
            state.boards[at].phase = Phase::Moved;
        }
        Job::Commanding => {
            worker.job = match worker.file {
                None => Job::Looking,
                Some(_) => Job::Reaching,
            };
            state.boards[at].phase = Phase::Quiet;
        }
        _ => return false,
    }
    true
}

fn give_up(state: &mut State, rules: Rules, which: usize) -> bool {
    let worker = &mut state.workers[which];
    worker.job = match worker.job {
        Job::Queueing | Job::Looking if !worker.operation => {
            state.end_worker(which, End::Refused);
            return true;
        }
        Job::Looking | Job::Planning | Job::AwaitingWriteLock => Job::BackingOut,
        Job::Reaching | Job::AskingToSettle | Job::Settling => Job::BackingOut,
        Job::Closing if rules.has(Rule::MoveWithFence) => Job::Reopening,
        Job::Closing => begin(worker, rules),
        // The WAL does not tell what has changed.
        Job::TakingInNews if worker.plan == Plan::Behind => {
            worker.again = true;
            Job::BackingOut
        }
        Job::GivingUp if worker.again => return refuse(state, which),
        Job::Locking
        | Job::TakingInNews
        | Job::Writing
        | Job::Committing
        | Job::Seizing
        | Job::Leasing
        | Job::Unlinking
        | Job::SyncingUnlink
        | Job::Confirming
        | Job::Announcing
        | Job::Renaming => Job::BackingOut,
        Job::Lingering => {
            let end = linger::end(state, which);
            state.end_worker(which, end);
            return true;
        }
        _ => return false,
    };
    true
}
