//! A member: `src/member/watcher.rs` and `Membership::take`, with one kernel call per step.

use super::rules::{Rule, Rules};
use super::state::{Locks, Member, Phase, Post, State, Worker};

/// The possible steps of an application process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// The next step of its watcher.
    Proceeds,
    /// Its clock has run out, or a connection cannot be closed: it stays.
    GivesUp,
    TakesStragglerLockBack,
    /// Finds another fence at the path, and takes it as well.
    Follows,
    /// Finds the fence taken, and starts its clock.
    Waits,
    KillsTheHolder,
    WorkEnters,
    WorkOpensDatabase,
    WorkWrites,
    WorkEnds,
    /// The application closes its pool.
    Leaves,
    /// Forgets the schema that is out of date, with the gate sealed.
    CatchesUp,
    /// SIGKILL, at any step. Another process may take its place at any time.
    Dies,
    /// Comes back without the lock, by its own clock or because the leader died. Only possible without the rules.
    ReopensWithoutLock,
}

impl Act {
    pub(crate) const ALL: [Act; 14] = [
        Act::Proceeds,
        Act::GivesUp,
        Act::TakesStragglerLockBack,
        Act::Follows,
        Act::Waits,
        Act::KillsTheHolder,
        Act::WorkEnters,
        Act::WorkOpensDatabase,
        Act::WorkWrites,
        Act::WorkEnds,
        Act::Leaves,
        Act::CatchesUp,
        Act::Dies,
        Act::ReopensWithoutLock,
    ];
}

/// Takes the step, or returns that it is not possible now.
pub(crate) fn act(state: &mut State, rules: Rules, which: usize, act: Act) -> bool {
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
        Act::Follows => return follow(state, which),
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
        Act::Leaves if member.post == Post::Watching && !member.unit && !member.holds_both_fences() => {
            leave(member, rules);
        }
        Act::CatchesUp
            if member.behind && matches!(member.post, Post::Watching | Post::Absent) && !member.unit =>
        {
            // Active Record reads the new schema when a unit needs it next.
            member.schema = member.file.map(|_| state.folder.content);
            member.behind = false;
        }
        Act::Dies if member.post != Post::Absent => *member = Member::default(),
        Act::ReopensWithoutLock if member.post == Post::Away => {
            let may = !rules.has(Rule::ReturnByLock)
                || !rules.has(Rule::LeaderDecidesNothing) && state.leader_is_dead;
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
    let mut member = state.members[which];
    if member.post == Post::Absent {
        member.at = state.place;
    }
    let (fence_is_taken, straggler_is_taken) = (
        state.fence_is_taken(member.at),
        state.straggler_is_taken(member.at),
    );
    let (board, a_worker_lives) = (state.board(member.at), state.a_worker_lives(member.at));
    let answered = member.here().answered;
    member.post = match member.post {
        Post::Absent if !fence_is_taken => {
            member.here().fence = true;
            Post::Joining
        }
        Post::Joining if !straggler_is_taken => {
            member.here().straggler = true;
            Post::Admitted
        }
        Post::Joining if rules.has(Rule::JoinWithoutStraggler) => {
            member.here().owes_straggler = true;
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
        Post::Watching => match next_answer(state, &member) {
            Some((fence, post)) => {
                member.at = fence;
                if post == Post::Closing {
                    member.here().answered = state.board(fence).attempt;
                }
                post
            }
            None => return false,
        },
        Post::Settling if !member.unit => {
            member.here().owes_straggler = true;
            member.here().straggler = false;
            Post::Watching
        }
        // The worker no longer asks: the running work goes on, and the member keeps the lock.
        Post::Settling if board.phase != Phase::Settle || !a_worker_lives => Post::Watching,
        Post::Closing if !member.unit || !rules.has(Rule::DrainFirst) => Post::Sealed,
        Post::Sealed if board.phase == Phase::Close && board.attempt == answered => Post::Leaving,
        Post::Sealed => Post::Watching,
        Post::Leaving => {
            member.file = None;
            member.here().fence = false;
            if member.at == state.place {
                // The process has no file of the former database open, so it no longer needs the former fence.
                member.locks[1 - usize::from(member.at)] = Locks::default();
            }
            Post::Away
        }
        Post::Away if !fence_is_taken => {
            come_back(&mut member);
            member.here().fence = true;
            Post::Back
        }
        Post::Absent | Post::Settling | Post::Closing | Post::Away => return false,
    };
    state.members[which] = member;
    true
}

/// The board that it answers next, and how.
fn next_answer(state: &State, member: &Member) -> Option<(u8, Post)> {
    [0, 1].into_iter().find_map(|fence| {
        let (board, locks) = (state.board(fence), member.locks[usize::from(fence)]);
        if !locks.fence || !state.a_worker_lives(fence) {
            return None;
        }
        match board.phase {
            Phase::Settle if !locks.owes_straggler => Some((fence, Post::Settling)),
            Phase::Close if board.attempt != locks.answered => Some((fence, Post::Closing)),
            Phase::Quiet | Phase::Settle | Phase::Close | Phase::Moving | Phase::Moved => None,
        }
    })
}

/// The member holds the lock: until it releases it, no file moves.
fn read_the_board(state: &mut State, rules: Rules, member: &mut Member) {
    let board = state.board(member.at);
    if board.phase == Phase::Moving && rules.has(Rule::WhoFindsMovingSyncs) {
        state.folder.sync();
    }
    compare_generations(state, member);
}

fn compare_generations(state: &State, member: &mut Member) {
    let board = state.board(member.at);
    // A process that joins again cannot forget the schema at once, because a unit is inside.
    if let Some(left) = member.left.take() {
        member.behind |= left != (member.at, board.generation);
        member.here().generation = board.generation;
    } else if member.here().generation != board.generation {
        member.here().generation = board.generation;
        if member.post == Post::Back {
            member.schema = None;
            member.behind = false;
        }
    }
}

/// Leaves the fleet. The application's classes stay.
fn leave(member: &mut Member, rules: Rules) {
    *member = Member {
        schema: member.schema,
        left: rules
            .has(Rule::RememberTheGeneration)
            .then_some((member.at, member.locks[usize::from(member.at)].generation)),
        behind: member.behind && rules.has(Rule::CatchUpLater),
        ..Member::default()
    };
}

/// Its watcher does this, or the opening of a connection. The member goes on with the file that it has open.
fn follow(state: &mut State, which: usize) -> bool {
    let place = state.place;
    let (taken, straggler_is_taken) = (state.fence_is_taken(place), state.straggler_is_taken(place));
    let generation = state.board(place).generation;
    let member = &mut state.members[which];
    let may = matches!(member.post, Post::Watching | Post::Settling | Post::Closing)
        && !member.holds_fence(place)
        && !taken;
    if may {
        member.locks[usize::from(place)] = Locks {
            fence: true,
            straggler: !straggler_is_taken,
            owes_straggler: straggler_is_taken,
            generation,
            answered: 0,
        };
    }
    may
}

fn come_back(member: &mut Member) {
    member.waits_for = None;
    member.out_of_patience = false;
    member.post = Post::Watching;
}

fn take_straggler_lock_back(state: &mut State, which: usize) -> bool {
    for fence in [0, 1] {
        let asked = state.board(fence).phase == Phase::Settle && state.a_worker_lives(fence);
        let free = !state.straggler_is_taken(fence);
        let member = &mut state.members[which];
        let locks = &mut member.locks[usize::from(fence)];
        if member.post == Post::Watching && locks.owes_straggler && !asked && free {
            locks.owes_straggler = false;
            locks.straggler = true;
            return true;
        }
    }
    false
}

fn wait(state: &mut State, which: usize) -> bool {
    let at = state.members[which].at;
    let (attempt, taken) = (state.board(at).attempt, state.fence_is_taken(at));
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
    let attempt = state.board(member.at).attempt;
    let waited = member.waits_for == Some(attempt) || !rules.has(Rule::PatienceBeginsAnew);
    let holds = |worker: &Worker| worker.fence && worker.at == member.at;
    let Some(holder) = state.workers.iter().position(holds) else {
        return false;
    };
    let may =
        rules.has(Rule::KillTheOverdue) && member.post == Post::Away && member.out_of_patience && waited;
    if may {
        super::worker::kill(state, holder, true);
    }
    may
}
