//! The options of a command: which of them it would ignore or cannot obey, although the user relies on them.

use crate::error::{Result, Usage};
use crate::in_place::InPlace;
use crate::protocol::Request;
use crate::route::Direction;

/// Refuses options that do not fit the direction of the copy, or each other.
pub(super) fn require_sense(request: &Request, direction: Direction) -> Result<()> {
    match direction {
        Direction::Push | Direction::Rollback(_) if request.into_folder => Err(Usage::PushIntoFolder {
            target: request.dst.raw.clone(),
        }
        .into()),
        Direction::Push => of_a_push(request),
        Direction::Pull | Direction::PullVersion(_) => of_a_pull(request),
        Direction::Rollback(_) => of_a_rollback(request),
    }
}

fn of_a_push(request: &Request) -> Result<()> {
    if request.redacted {
        let (option, command) = ("--redacted", "push");
        return Err(Usage::OnlyForAPull { option, command }.into());
    }
    let Some(tables) = &request.tables else {
        return match request.allow_orphans {
            true => Err(Usage::OrphansOfAll.into()),
            false => Ok(()),
        };
    };
    let never = request.in_place == Some(InPlace::Never);
    let contradictions = [
        (
            "--if-match",
            request.if_match.is_some(),
            "a push of some tables keeps what was written to the others, so the rest of the content may change",
        ),
        (
            "--in-place=never",
            never,
            "a push of some tables always writes into the live file",
        ),
        (
            "--skip-schema-check",
            request.skip_schema_check,
            "rows can only go into tables that have the same columns",
        ),
    ];
    match contradictions.into_iter().find(|(_, given, _)| *given) {
        Some((other, _, why)) => Err(Usage::Contradiction {
            option: tables.option(),
            other,
            why,
        }
        .into()),
        None => Ok(()),
    }
}

fn of_a_pull(request: &Request) -> Result<()> {
    refuse("pull", &[("--if-match", request.if_match.is_some())])?;
    refuse("pull", &of_pushes(request))
}

fn of_a_rollback(request: &Request) -> Result<()> {
    if let Some(tables) = &request.tables {
        let option = tables.option();
        return Err(Usage::NotForARollback { option }.into());
    }
    if request.redacted {
        let (option, command) = ("--redacted", "rollback");
        return Err(Usage::OnlyForAPull { option, command }.into());
    }
    refuse("rollback", &of_pushes(request))
}

/// The options that only a push of a file obeys, and whether they are given.
fn of_pushes(request: &Request) -> [(&'static str, bool); 5] {
    [
        ("--if-changed", request.if_changed),
        ("--dry-run", request.dry_run),
        ("--max-shrink", request.max_shrink.is_some()),
        ("--probe", request.probe.is_some()),
        ("--allow-orphans", request.allow_orphans),
    ]
}

fn refuse(command: &'static str, options: &[(&'static str, bool)]) -> Result<()> {
    match options.iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(Usage::OnlyForAPush { option, command }.into()),
        None => Ok(()),
    }
}
