//! A model of the fleet protocol, and every run of it: two application processes, two workers, the leader, and a
//! process without the gem. Each may be killed at any step.
//!
//! `docs/protocol.md` describes the protocol; `src/fence`, `src/member` and `src/worker` implement it. If you change
//! one of them, change the model, too: a step here is a kernel call there. What is not obvious:
//!
//! - A stopped process takes no step, and goes on where it was when it is continued. Runs in which a process takes no
//!   step for a while are explored anyway, so being stopped needs no state. Every state is checked for whether a
//!   stopped process keeps others out for good, with *every* other process stopped as well.
//! - A clock may fire at any time. Time passes only where it matters which process is late, and then for all at once.
//! - A process that is dead, not started yet, about to join or just forked is the same: it holds no lock.
//! - A pull is a member that never answers.
//! - A process takes the fence at the path in one step. Its declaration before that is not modelled: a worker that
//!   finds a process in between waits.
//! - A power cut can undo any part of a folder's unsynced changes, in any order.
//! - The model relies on SQLite's guarantees: a transaction is committed as a whole or not at all, a reader keeps
//!   the state from when it began, and one process at a time writes. With a rollback journal a writer keeps readers
//!   out, and the next reader rolls back the transaction of a process that died in the middle.
//! - Wherever the file is open elsewhere or cannot be replaced, both ways of a push are explored, because what
//!   `/proc` shows and what the user asked for may differ.
//!
//! Not modelled: several databases behind one gate, reports to the worker, the shortcut for a swap that does not
//! change the schema, file systems without leases, and the longer pause under `--in-place=always` (`patience.rs` has
//! tests for that).

mod correspondence;
mod fleet;
mod folder;
mod in_place;
mod linger;
mod member;
mod properties;
mod rules;
mod state;
mod worker;

use std::collections::{BTreeSet, HashSet};
use std::io::Write;
use std::time::Instant;

use fleet::Fleet;
use rules::Rule;
use state::State;
use stateright::{Checker, HasDiscoveries, Model, StateRecorder};

/// Bypasses the test harness, which would capture the output.
fn print(line: String) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn holds_in_every_run(name: &str, fleet: Fleet) {
    let begun = Instant::now();
    let checker = fleet.checker().symmetry().threads(2).spawn_dfs().join();
    let seconds = begun.elapsed().as_secs_f64();
    print(format!(
        "fleet model, {name}: {} states in {seconds:.1} s",
        checker.unique_state_count()
    ));
    checker.assert_properties();
}

#[test]
fn a_swap_of_two_members_keeps_every_promise() {
    holds_in_every_run(
        "two members, one worker, a leader that dies",
        Fleet {
            leader: true,
            ..Fleet::with(2, 1)
        },
    );
}

#[test]
fn two_swaps_at_once_keep_every_promise() {
    holds_in_every_run("two members, two workers", Fleet::with(2, 2));
}

#[test]
fn a_process_without_the_gem_keeps_no_promise_from_being_kept() {
    holds_in_every_run(
        "two members, one worker in either way, a stranger",
        Fleet {
            stranger: true,
            ..Fleet::with(2, 1)
        },
    );
}

#[test]
fn a_swap_in_place_keeps_every_promise() {
    holds_in_every_run(
        "two members, one worker in place",
        Fleet {
            obstacle: true,
            ..Fleet::with(2, 1)
        },
    );
    holds_in_every_run(
        "one member, two workers in place, a stranger",
        Fleet {
            stranger: true,
            obstacle: true,
            ..Fleet::with(1, 2)
        },
    );
}

#[test]
fn a_rollback_journal_keeps_no_promise_from_being_kept() {
    holds_in_every_run(
        "one member, two workers in place, a rollback journal",
        Fleet {
            rollback: true,
            obstacle: true,
            ..Fleet::with(1, 2)
        },
    );
    holds_in_every_run(
        "one member, two workers in either way, a rollback journal, a stranger",
        Fleet {
            rollback: true,
            stranger: true,
            ..Fleet::with(1, 2)
        },
    );
}

#[test]
fn a_slow_disk_keeps_no_promise_from_being_kept() {
    let slow = Fleet {
        slow_disk: true,
        ..Fleet::with(2, 1)
    };
    holds_in_every_run("two members, one worker, a slow disk", slow);
    let journaled = Fleet {
        rollback: true,
        members: 1,
        workers: 2,
        ..slow
    };
    holds_in_every_run(
        "one member, two workers, a rollback journal, a slow disk",
        journaled,
    );
}

#[test]
fn a_fence_that_is_replaced_by_hand_keeps_no_promise_from_being_kept() {
    let by_hand = |members, workers, obstacle| Fleet {
        by_hand: true,
        attempts: 1,
        obstacle,
        ..Fleet::with(members, workers)
    };
    holds_in_every_run(
        "two members, one worker, files replaced by hand",
        by_hand(2, 1, false),
    );
    holds_in_every_run(
        "one member, two workers, files replaced by hand",
        by_hand(1, 2, false),
    );
    holds_in_every_run(
        "one member, one worker in place, files replaced by hand",
        by_hand(1, 1, true),
    );
}

#[test]
fn a_process_that_leaves_and_joins_again_keeps_every_promise() {
    let leaves = |members, workers, attempts| Fleet {
        leaves: true,
        attempts,
        ..Fleet::with(members, workers)
    };
    holds_in_every_run("two members that leave, one worker", leaves(2, 1, 2));
    holds_in_every_run("one member that leaves, two workers", leaves(1, 2, 2));
    let by_hand = Fleet {
        by_hand: true,
        ..leaves(1, 1, 1)
    };
    holds_in_every_run("one member that leaves, files replaced by hand", by_hand);
}

#[test]
fn every_rule_of_leaving_is_needed() {
    let fleet = Fleet {
        leaves: true,
        ..Fleet::with(1, 1)
    };
    breaks(fleet, Rule::RememberTheGeneration, properties::FRESH);
    breaks(fleet, Rule::CatchUpLater, properties::FRESH);
}

#[test]
fn every_rule_of_a_slow_disk_is_needed() {
    let slow = Fleet {
        slow_disk: true,
        ..Fleet::with(1, 1)
    };
    breaks(slow, Rule::FolderBeforeLog, properties::WHOLE);
    breaks(slow, Rule::FolderBeforeLog, properties::WRITTEN);
    let journaled = Fleet {
        rollback: true,
        ..slow
    };
    breaks(journaled, Rule::KeepWritersOut, properties::WHOLE);
}

#[test]
fn the_death_of_the_leader_leads_nowhere_else() {
    let reached = |leader| {
        let (recorder, states) = StateRecorder::new_with_accessor();
        let fleet = Fleet {
            leader,
            ..Fleet::with(1, 1)
        };
        fleet.checker().visitor(recorder).spawn_bfs().join();
        let but_for_the_leader = |state| State {
            leader_is_dead: false,
            ..state
        };
        states()
            .into_iter()
            .map(but_for_the_leader)
            .collect::<HashSet<_>>()
    };
    assert!(reached(true) == reached(false));
}

/// Fails if the model does not notice that the rule is missing: then either the model or the rule is useless.
fn breaks(fleet: Fleet, rule: Rule, promise: &'static str) {
    let fleet = fleet.without(rule);
    let found = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    let checker = fleet.checker().finish_when(found).spawn_bfs().join();
    let run = checker.discovery(promise);
    let run = run.unwrap_or_else(|| panic!("without {rule:?} it holds all the same: {promise}"));
    let (states, steps) = (checker.unique_state_count(), run.into_actions().len());
    print(format!(
        "fleet model, without {rule:?}: broken in {steps} steps, {states} states: {promise}"
    ));
}

#[test]
fn every_rule_of_the_fence_is_needed() {
    let fleet = Fleet::with(2, 1);
    breaks(fleet, Rule::DrainFirst, properties::LOCKED);
    breaks(fleet, Rule::ReturnByLock, properties::TOGETHER);
    breaks(
        Fleet {
            leader: true,
            ..fleet
        },
        Rule::LeaderDecidesNothing,
        properties::TOGETHER,
    );
    breaks(fleet, Rule::MoveWithFence, properties::TOGETHER);
    breaks(fleet, Rule::GenerationFirst, properties::FRESH);
    breaks(fleet, Rule::WithdrawTheAnnouncement, properties::NEWS);
    breaks(fleet, Rule::KillTheOverdue, properties::RETURN);
    breaks(fleet, Rule::PatienceBeginsAnew, properties::PATIENT);
    breaks(fleet, Rule::JoinWithoutStraggler, properties::ENTER);
}

#[test]
fn every_rule_about_a_fence_that_is_replaced_is_needed() {
    let fleet = Fleet {
        by_hand: true,
        ..Fleet::with(2, 1)
    };
    breaks(fleet, Rule::WaitForEveryFence, properties::TOGETHER);
    breaks(fleet, Rule::FenceInPlace, properties::TOGETHER);
}

#[test]
fn every_rule_of_durability_is_needed() {
    let fleet = Fleet::with(1, 1);
    breaks(fleet, Rule::SyncTheUnlink, properties::WHOLE);
    breaks(fleet, Rule::SyncTheRename, properties::TRUE);
    breaks(fleet, Rule::WhoFindsMovingSyncs, properties::LASTS);
    breaks(Fleet::with(1, 2), Rule::NextWorkerSyncs, properties::LASTS);
    let fleet = Fleet {
        rollback: true,
        stranger: true,
        ..fleet
    };
    breaks(fleet, Rule::ReadBeforeUnlink, properties::ONE);
}

#[test]
fn every_rule_about_others_is_needed() {
    let fleet = Fleet {
        stranger: true,
        ..Fleet::with(1, 1)
    };
    breaks(fleet, Rule::Lease, properties::GUARDED);
    breaks(fleet, Rule::Linger, properties::GUARDED);
    breaks(Fleet::with(1, 2), Rule::LookAsWorker, properties::FAIR);
}

#[test]
fn every_rule_of_the_other_way_is_needed() {
    let fleet = Fleet {
        obstacle: true,
        ..Fleet::with(1, 1)
    };
    breaks(fleet, Rule::MoveWithFence, properties::FRESH);
    breaks(fleet, Rule::GenerationFirst, properties::FRESH);
    breaks(fleet, Rule::OneTransaction, properties::ONE);
    breaks(fleet, Rule::TakeInTheNews, properties::ONE);
    breaks(fleet, Rule::SyncTheCommit, properties::TRUE);
    breaks(fleet, Rule::CommitThenTell, properties::TRUE);
    let journaled = Fleet {
        rollback: true,
        ..fleet
    };
    breaks(journaled, Rule::OneTransaction, properties::ONE);
    breaks(journaled, Rule::SyncTheCommit, properties::TRUE);
    let fleet = Fleet {
        stranger: true,
        ..fleet
    };
    breaks(fleet, Rule::LockThenLook, properties::ONE);
    breaks(fleet, Rule::NewSchemaNumber, properties::FRESH);
}
