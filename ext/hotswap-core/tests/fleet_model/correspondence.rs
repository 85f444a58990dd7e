//! What the model leaves out of the real board and the real locks. A field or a lock that is added does not compile
//! here until it is decided whether the model needs it.

use std::time::Duration;

use hotswap_core::fence::{self, Lock};

use super::state::Board;

/// The model's view of a real board.
fn of_a_real(board: fence::Board) -> Board {
    let fence::Board {
        phase,
        attempt,
        generation,
        // Decides what a member forgets, and not when. The model counts files and their content instead.
        schema_generation: _,
        // Decides how much work a member drains: a part of it would do, as far as the model goes.
        schema_changes: _,
        // Decides nothing for a member.
        owns_versions: _,
        // The model lets every bound be reached at any time.
        max_pause: _,
        // Reports decide nothing.
        report: _,
    } = board;
    Board {
        phase,
        attempt: attempt as u8,
        generation: generation as u8,
    }
}

/// Whether the model has the lock.
fn is_modelled(lock: Lock) -> bool {
    match lock {
        Lock::Fence | Lock::Operation | Lock::Straggler => true,
        // Refuses every push for as long as a process lives. It orders nothing.
        Lock::Objection => false,
    }
}

#[test]
fn the_model_has_everything_of_the_board_that_decides_something() {
    let real = fence::Board {
        phase: fence::Phase::Moving,
        attempt: 3,
        generation: 2,
        schema_generation: 1,
        schema_changes: false,
        owns_versions: false,
        max_pause: Duration::from_secs(1),
        report: 7,
    };
    let expected = Board {
        phase: fence::Phase::Moving,
        attempt: 3,
        generation: 2,
    };
    assert_eq!(of_a_real(real), expected);
    assert!(is_modelled(Lock::Fence) && is_modelled(Lock::Operation) && is_modelled(Lock::Straggler));
    assert!(!is_modelled(Lock::Objection));
}
