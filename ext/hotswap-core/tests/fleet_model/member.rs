//! A member: `src/member/watcher.rs` and `Membership::take`, one kernel call a step.

use super::rules::{Rule, Rules};
use super::state::{Member, Phase, Post, State};

/// What a process of the application may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Whatever its watcher has to do next.
    Proceeds,
    /// Its clock, or a connection that cannot be closed: it stays.
    GivesUp,
    TakesStragglerLockBack,
    /// Finds the fence taken, and begins to count.
    Waits,
    KillsTheHolder,
    WorkEnters,
    WorkOpensDatabase,
    WorkWrites,
    WorkEnds,
    /// SIGKILL, at any step. Another process may take its place at any time.
    Dies,
    /// Back without the lock, on its own clock or because the leader died. Only without the rules.
    ReopensWithoutLock,
}

impl Act {
    pub const ALL: [Act; 11] = [
        Act::Proceeds,
        Act::GivesUp,
        Act::TakesStragglerLockBack,
        Act::Waits,
        Act::KillsTheHolder,
        Act::WorkEnters,
        Act::WorkOpensDatabase,
        Act::WorkWrites,
        Act::WorkEnds,
        Act::Dies,
        Act::ReopensWithoutLock,
    ];
}

/// Does it, or says that it cannot be done now.
pub fn act(state: &mut State, rules: Rules, which: usize, act: Act) -> bool {
    let member = &mut state.members[which];
    match act {
        Act::Proceeds => return proceed(state, rules, which),
        Act::GivesUp if matches!(member.post, Post::Closing | Post::Leaving) => member.post = Post::Watching,
        // The disk does not answer in time.
        Act::GivesUp if matches!(member.post, Post::Admitted | Post::Back) && state.folder.slow => {
            let mut member = *member;
            compare_generations(state, &mut member);
            member.post = Post::Watching;
            state.members[which] = member;
        }
        Act::TakesStragglerLockBack => return take_straggler_lock_back(state, which),
        Act::Waits => return wait(state, which),
        Act::KillsTheHolder => return kill_the_holder(state, rules, which),
        Act::WorkEnters if member.admits_new_work() && !member.unit => member.unit = true,
        Act::WorkOpensDatabase if member.unit && member.file.is_none() => {
            let file = state.folder.file;
            member.file = Some(file);
            member.schema = member.schema.or(Some(state.folder.content));
            state.folder.take_back();
            state.break_leases(file);
        }
        Act::WorkWrites if member.unit && member.file == Some(state.folder.file) => {
            let may = state.write_lock_is_free();
            if may {
                state.folder.take_back();
                state.write(rules);
                state.outdate_plans();
            }
            return may;
        }
        Act::WorkEnds if member.unit => member.unit = false,
        Act::Dies if member.post != Post::Absent => *member = Member::default(),
        Act::ReopensWithoutLock if member.post == Post::Away => {
            let may =
                !rules.has(Rule::ReturnByLock) || !rules.has(Rule::LeaderIsNobody) && state.leader_is_dead;
            if may {
                come_back(member);
            }
            return may;
        }
        _ => return false,
    }
    true
}

fn proceed(state: &mut State, rules: Rules, which: usize) -> bool {
    let (fence_is_taken, straggler_is_taken) = (state.fence_is_taken(), state.straggler_is_taken());
    let (board, a_worker_lives) = (state.board, state.a_worker_lives());
    let mut member = state.members[which];
    member.post = match member.post {
        Post::Absent if !fence_is_taken => {
            member.fence = true;
            Post::Joining
        }
        Post::Joining if !straggler_is_taken => {
            member.straggler = true;
            Post::Admitted
        }
        Post::Joining if rules.has(Rule::JoinInDebt) => {
            member.owes_straggler = true;
            Post::Admitted
        }
        Post::Joining => {
            member = Member::default();
            Post::Absent
        }
        Post::Admitted | Post::Back => {
            read_the_board(state, rules, &mut member);
            Post::Watching
        }
        Post::Watching if board.phase == Phase::Settle && a_worker_lives && !member.owes_straggler => {
            Post::Settling
        }
        Post::Watching
            if board.phase == Phase::Close && a_worker_lives && board.attempt != member.answered =>
        {
            member.answered = board.attempt;
            Post::Closing
        }
        Post::Settling if !member.unit => {
            member.owes_straggler = true;
            member.straggler = false;
            Post::Watching
        }
        // Asked no longer: what was running goes on, and the lock is kept.
        Post::Settling if board.phase != Phase::Settle || !a_worker_lives => Post::Watching,
        Post::Closing if !member.unit || !rules.has(Rule::DrainFirst) => Post::Sealed,
        Post::Sealed if board.phase == Phase::Close && board.attempt == member.answered => Post::Leaving,
        Post::Sealed => Post::Watching,
        Post::Leaving => {
            member.file = None;
            member.fence = false;
            Post::Away
        }
        Post::Away if !fence_is_taken => {
            come_back(&mut member);
            member.fence = true;
            Post::Back
        }
        Post::Absent | Post::Watching | Post::Settling | Post::Closing | Post::Away => return false,
    };
    state.members[which] = member;
    true
}

/// With the lock: until it is let go of again no file moves.
fn read_the_board(state: &mut State, rules: Rules, member: &mut Member) {
    if state.board.phase == Phase::Moving && rules.has(Rule::WhoFindsMovingSyncs) {
        state.folder.sync();
    }
    compare_generations(state, member);
}

fn compare_generations(state: &State, member: &mut Member) {
    if member.generation != state.board.generation {
        member.generation = state.board.generation;
        member.schema = None;
    }
}

fn come_back(member: &mut Member) {
    member.waits_for = None;
    member.out_of_patience = false;
    member.post = Post::Watching;
}

fn take_straggler_lock_back(state: &mut State, which: usize) -> bool {
    let asked = state.board.phase == Phase::Settle && state.a_worker_lives();
    let free = !state.straggler_is_taken();
    let member = &mut state.members[which];
    let may = member.post == Post::Watching && member.owes_straggler && !asked && free;
    if may {
        member.owes_straggler = false;
        member.straggler = true;
    }
    may
}

fn wait(state: &mut State, which: usize) -> bool {
    let (attempt, taken) = (state.board.attempt, state.fence_is_taken());
    let member = &mut state.members[which];
    let may = member.post == Post::Away && taken && member.waits_for != Some(attempt);
    if may {
        member.waits_for = Some(attempt);
        member.out_of_patience = false;
    }
    may
}

fn kill_the_holder(state: &mut State, rules: Rules, which: usize) -> bool {
    let member = &state.members[which];
    let waited = member.waits_for == Some(state.board.attempt) || !rules.has(Rule::PatienceBeginsAnew);
    let Some(holder) = state.workers.iter().position(|worker| worker.fence) else {
        return false;
    };
    let may =
        rules.has(Rule::KillTheOverdue) && member.post == Post::Away && member.out_of_patience && waited;
    if may {
        super::worker::kill(state, holder, true);
    }
    may
}
