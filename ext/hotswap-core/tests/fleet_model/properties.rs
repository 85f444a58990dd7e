//! The promises for every state of every run, and the events that must happen in some run.

use stateright::Property;

use super::fleet::{Fleet, Step};
use super::state::{End, Job, Member, Phase, Post, State, Stranger, Worker};
use super::{member, worker};

pub(crate) const WHOLE: &str = "a power cut leaves a whole file, and no WAL of another one next to it";
pub(crate) const TOGETHER: &str = "no member has another file open than the live one, unless that was replaced by hand and nothing was pushed since";
pub(crate) const LASTS: &str = "what a member has open is still the live file after a power cut";
pub(crate) const WRITTEN: &str = "what was written is in a file that is still the live one after a power cut";
pub(crate) const ONE: &str = "what is in the live file is of one content";
pub(crate) const TRUE: &str = "success is told only of what no power cut can take back";
pub(crate) const LOCKED: &str = "a gate is open, and a file, only with the fence lock";
pub(crate) const ALONE: &str = "a file moves under one worker, with no other process inside the fence";
pub(crate) const FRESH: &str = "no work runs on the schema of another file";
pub(crate) const NEWS: &str = "a database is announced that did not come only where a worker died";
pub(crate) const FAIR: &str = "no worker is refused because of another";
pub(crate) const PATIENT: &str = "no worker is killed within its bounds";
pub(crate) const GUARDED: &str = "no stranger reads or writes a replaced file";
pub(crate) const RETURN: &str = "every member gets back to an open gate by itself";
pub(crate) const ENTER: &str = "every process that boots gets in by itself, unless a file is being moved";
pub(crate) const END: &str = "every worker comes to an end by itself";

type Check = fn(&Fleet, &State) -> bool;

pub(crate) fn of(fleet: &Fleet) -> Vec<Property<Fleet>> {
    let always = |name, check: Check| Property::always(name, check);
    let sometimes = |name, check: Check| Property::sometimes(name, check);
    let mut all = vec![
        always(WHOLE, |_, state| is_whole_after_power_cuts(state)),
        always(TOGETHER, |_, state| {
            state.by_hand || each_file(state, |file| file == state.folder.file)
        }),
        always(WRITTEN, |_, state| state.written <= state.folder.synced.0),
        always(ONE, |_, state| !state.folder.mixed),
        always(TRUE, |_, state| state.told <= state.folder.lasting),
        always(LOCKED, |_, state| state.members.iter().all(is_locked)),
        always(ALONE, |_, state| {
            state.workers.iter().all(|worker| moves_alone(state, worker))
        }),
        always(FRESH, is_fresh),
        always(NEWS, |_, state| news_are_true(state)),
        // Workers at two fences do not wait for each other.
        always(FAIR, |_, state| {
            state.place > 0 || !ended(state, End::RefusedForAnotherWorker)
        }),
        always(PATIENT, |_, state| !ended(state, End::KilledTooEarly)),
        always(GUARDED, |_, state| is_guarded(state)),
        always(RETURN, every_member_returns),
        always(ENTER, every_newcomer_enters),
        always(END, every_worker_ends),
        sometimes(
            "a swap succeeds, and work runs on the new file everywhere",
            all_on_new,
        ),
        sometimes("a swap is refused", |_, state| ended(state, End::Refused)),
        sometimes("the last attempt succeeds", |fleet, state| {
            state.told == 1 && state.boards[0].attempt == fleet.attempts
        }),
        sometimes(
            "a worker is killed after its rename, before it tells",
            killed_untold,
        ),
    ];
    if fleet.slow_disk {
        let early = |_: &Fleet, state: &State| {
            let waits = state.workers.iter().any(|worker| worker.job == Job::AwaitingDisk);
            waits
                && state
                    .members
                    .iter()
                    .any(|member| member.unit && member.file == Some(1))
        };
        all.push(sometimes("a member is in before the rename is durable", early));
    } else {
        all.push(always(LASTS, |_, state| {
            each_file(state, |file| file <= state.folder.synced.0)
        }));
    }
    if fleet.leaves {
        let behind = |_: &Fleet, state: &State| {
            state
                .members
                .iter()
                .any(|member| member.behind && member.post == Post::Absent)
        };
        all.push(sometimes("a process leaves before it has caught up", behind));
    }
    if fleet.workers > 1 {
        all.push(sometimes("two swaps succeed", |_, state| state.told == 2));
    }
    if fleet.by_hand {
        let reached = |fleet: &Fleet, state: &State| {
            let members = &state.members[..fleet.members];
            state.place == 1
                && !state.by_hand
                && state.told == 2
                && members
                    .iter()
                    .all(|member| member.unit && member.file == Some(state.folder.file))
        };
        all.push(sometimes(
            "a push over a database that was replaced by hand reaches everybody",
            reached,
        ));
    }
    if fleet.stranger && !fleet.obstacle {
        let late = |_: &Fleet, state: &State| {
            state.told == 1 && state.folder.file == 1 && state.stranger == Stranger::Idle(0)
        };
        all.push(sometimes("a stranger that came too late is waited for", late));
    }
    if fleet.stranger {
        let beside = |_: &Fleet, state: &State| {
            state.told == 1 && state.folder.file == 0 && state.stranger == Stranger::Reading(0)
        };
        all.push(sometimes("a push goes in place, beside a stranger", beside));
    }
    all
}

fn is_whole_after_power_cuts(state: &State) -> bool {
    let whole = |(file, log): (u8, Option<u8>)| log.is_none_or(|log| log == file);
    // A worker that was killed keeps no writer out.
    let crossed = state.folder.crossed && !ended(state, End::Killed) && !ended(state, End::KilledTooEarly);
    state.folder.after_power_cuts().all(whole) && !crossed
}

fn each_file(state: &State, is: impl Fn(u8) -> bool) -> bool {
    state.members.iter().filter_map(|member| member.file).all(is)
}

fn is_locked(member: &Member) -> bool {
    let in_use = member.admits_new_work() || member.unit || member.file.is_some();
    member.holds_a_fence() || !in_use
}

fn moves_alone(state: &State, worker: &Worker) -> bool {
    let moves = (Job::Locking..=Job::SyncingRename).contains(&worker.job);
    let at = worker.at;
    let inside = state
        .members
        .iter()
        .filter(|member| member.holds_fence(at))
        .count()
        + state
            .workers
            .iter()
            .filter(|worker| worker.fence && worker.at == at)
            .count();
    !moves || worker.operation && worker.fence && inside == 1
}

fn is_fresh(_: &Fleet, state: &State) -> bool {
    let content = Some(state.folder.content);
    let mut members = state.members.iter();
    // A process that comes back forgets the schema as soon as no unit is inside.
    let member = members
        .all(|member| !member.unit || member.file.is_none() || member.behind || member.schema == content);
    // A reader keeps the content from when it began.
    let writes = state.stranger == Stranger::Writing(state.folder.file);
    (member || state.by_hand) && (!writes || state.stranger_schema == content)
}

fn news_are_true(state: &State) -> bool {
    let died = ended(state, End::Killed) || ended(state, End::KilledTooEarly);
    // After the fence was replaced, the new board does not continue the former one.
    let board = state.boards[0];
    state.place > 0 || board.phase != Phase::Quiet || board.generation == state.folder.content || died
}

/// A worker that is killed after its rename cannot keep the replaced file from processes that came just before it.
fn is_guarded(state: &State) -> bool {
    match state.stranger {
        Stranger::Reading(file) | Stranger::Writing(file) => {
            file == state.folder.file || ended(state, End::Unguarded)
        }
        Stranger::Elsewhere | Stranger::AtTheDoor(_) | Stranger::Idle(_) => true,
    }
}

fn all_on_new(fleet: &Fleet, state: &State) -> bool {
    let members = &state.members[..fleet.members];
    state.told > 0
        && members
            .iter()
            .all(|member| member.unit && member.file.is_some() && member.schema == Some(1))
}

fn killed_untold(_: &Fleet, state: &State) -> bool {
    ended(state, End::Killed) && state.folder.content == 1 && state.told == 0
}

fn ended(state: &State, end: End) -> bool {
    state.workers.iter().any(|worker| worker.job == Job::Ended(end))
}

fn every_member_returns(fleet: &Fleet, state: &State) -> bool {
    use member::Act::{GivesUp, KillsTheHolder, Proceeds, Waits, WorkEnds};
    (0..fleet.members)
        .filter(|which| state.members[*which].has_joined())
        .all(|which| {
            let [a, b, c, d, e] =
                [Proceeds, GivesUp, Waits, KillsTheHolder, WorkEnds].map(|act| Step::Member(which, act));
            let is_back = |state: &State| {
                state.members[which].admits_new_work() && state.members[which].holds_a_fence()
            };
            fleet.gets_home(state, &[a, b, c, d, e, Step::TimePasses], is_back)
        })
}

fn every_newcomer_enters(fleet: &Fleet, state: &State) -> bool {
    let mut newcomers = (0..fleet.members).filter(|which| !state.members[*which].has_joined());
    let proceeds = |which| [Step::Member(which, member::Act::Proceeds)];
    newcomers.all(|which| {
        state.fence_is_taken(state.place)
            || fleet.gets_home(state, &proceeds(which), |state| state.members[which].has_joined())
    })
}

fn every_worker_ends(fleet: &Fleet, state: &State) -> bool {
    let has_ended =
        |state: &State, which: usize| matches!(state.workers[which].job, Job::NotStarted | Job::Ended(_));
    (0..fleet.workers).all(|which| {
        let mine = [worker::Act::Proceeds, worker::Act::GivesUp].map(|act| Step::Worker(which, act));
        fleet.gets_home(state, &mine, |state| has_ended(state, which))
    })
}
