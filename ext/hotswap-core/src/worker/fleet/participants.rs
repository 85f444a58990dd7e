//! Tells the user of `--offline` which processes of the application have the database open.
//!
//! This is for the user only. The locks decide, with and without the option.

use std::collections::{BTreeSet, HashMap};

use crate::fence::{Fence, Lock};
use crate::holders;
use crate::member::held;
use crate::sys::identity::Identity;
use crate::sys::locks;
use crate::sys::socket::peer;
use crate::worker::command::Command;

/// How many processes the line names.
const NAMED: usize = 3;

/// The processes that have joined the fleet.
pub(crate) fn members(fence: &Fence) -> Vec<u32> {
    Members::now().of(fence)
}

/// The processes that have joined each fleet, as far as this system tells.
#[derive(Debug)]
pub(crate) struct Members(HashMap<Identity, BTreeSet<u32>>);

impl Members {
    /// Those at this moment. Without a list of the locks, these are the ones that declare it to this user.
    pub(crate) fn now() -> Self {
        let held = match locks::ARE_LISTED {
            true => locks::listed()
                .into_iter()
                .map(|(file, pid, _)| (file, pid))
                .collect(),
            false => held(),
        };
        let mut all = HashMap::<_, BTreeSet<_>>::new();
        held.into_iter().for_each(|(fence, pid)| {
            all.entry(fence).or_default().insert(pid);
        });
        Self(all)
    }

    /// Those of one fleet. Without a list of the locks, with the one that POSIX names.
    pub(crate) fn of(&self, fence: &Fence) -> Vec<u32> {
        let mut members = self.0.get(&fence.identity()).cloned().unwrap_or_default();
        if !locks::ARE_LISTED {
            let named = fence.holder(Lock::Fence).filter(|pid| *pid > 0);
            members.extend(named.map(|pid| pid as u32));
        }
        members.into_iter().collect()
    }
}

/// Prints the line, if the command has the option.
pub(crate) fn tell(fence: &Fence, command: &Command) {
    if !command.request.offline {
        return;
    }
    // A process that has loaded the application for the command takes part, too.
    let client = peer(&command.client.main).map_or(0, |peer| peer.pid as u32);
    let others = |pid: &u32| ![0, client, std::process::id()].contains(pid);
    let names = members(fence).into_iter().filter(others).map(holders::name);
    // The kernel reports 0 for a process in another container, and lists none.
    let elsewhere = fence.holder(Lock::Fence).is_some_and(|pid| pid <= 0);
    let line = sentence(&names.collect::<Vec<_>>(), elsewhere, &command.database.label);
    command.client.status(line);
}

fn sentence(names: &[String], elsewhere: bool, database: &str) -> String {
    let mut named = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        named = format!("{named} and {} more", names.len() - NAMED);
    }
    let more = match elsewhere {
        true => " At least one more is in another container.",
        false => "",
    };
    match (names.len(), elsewhere) {
        (0, false) => format!("No process of the application has {database} open."),
        (0, true) => format!("A process in another container has {database} open, and takes part."),
        (1, _) => format!("1 process takes part: {named}.{more}"),
        (count, _) => format!("{count} processes take part: {named}.{more}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_names_a_few_processes_and_counts_the_others() {
        let names: Vec<_> = (1..6).map(|pid| format!("process {pid} (puma)")).collect();
        for (count, elsewhere, expected) in [
            (0, false, "No process of the application has db.sqlite3 open."),
            (
                0,
                true,
                "A process in another container has db.sqlite3 open, and takes part.",
            ),
            (1, false, "1 process takes part: process 1 (puma)."),
            (
                2,
                false,
                "2 processes take part: process 1 (puma), process 2 (puma).",
            ),
            (
                5,
                false,
                "5 processes take part: process 1 (puma), process 2 (puma), process 3 (puma) and 2 more.",
            ),
            (
                1,
                true,
                "1 process takes part: process 1 (puma). At least one more is in another container.",
            ),
        ] {
            assert_eq!(sentence(&names[..count], elsewhere, "db.sqlite3"), expected);
        }
    }
}
