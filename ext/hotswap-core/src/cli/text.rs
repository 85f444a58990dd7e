//! The answers to questions, for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use indicatif::HumanBytes;

use crate::protocol::{TableChange, Way};
use crate::record::{Entry, Event};
use crate::status::{CommandStatus, DatabaseStatus, Holds, ProcessStatus, Status, SUMMED_UP_BEYOND};
use crate::visible;

/// How many tables a line names.
const NAMED: usize = 8;

/// The state of the databases, a paragraph for each. If many match a pattern, only those that a command is working on,
/// unless the question `names` some.
pub(super) fn of_status(status: &Status, names: bool) -> String {
    let mut patterns = BTreeMap::<&String, Vec<&DatabaseStatus>>::new();
    for database in &status.databases {
        let found = database.pattern.iter();
        found.for_each(|pattern| patterns.entry(pattern).or_default().push(database));
    }
    patterns.retain(|_, found| !names && found.len() > SUMMED_UP_BEYOND);
    let is_summed_up = |database: &&DatabaseStatus| {
        let pattern = database.pattern.as_ref();
        pattern.is_some_and(|pattern| patterns.contains_key(pattern)) && database.commands.is_empty()
    };
    let databases = status.databases.iter().filter(|database| !is_summed_up(database));
    let databases: Vec<_> = databases.map(of_database).collect();
    let databases = databases
        .into_iter()
        .chain(patterns.iter().map(|(pattern, found)| of_pattern(pattern, found)));
    let databases: Vec<_> = databases.collect();
    let server = match status.server {
        Some(pid) => format!("Served by process {pid}.\n"),
        None => "No server is running.\n".into(),
    };
    format!("{}\n{server}", databases.join("\n"))
}

/// The state of all databases that match a pattern, in one paragraph.
fn of_pattern(pattern: &str, found: &[&DatabaseStatus]) -> String {
    let bytes = found.iter().filter_map(|database| database.bytes).sum();
    let is_open = |database: &&&DatabaseStatus| !database.processes.is_empty() || database.elsewhere;
    let open = found.iter().filter(is_open).count();
    let processes: BTreeSet<_> = found
        .iter()
        .flat_map(|database| &database.processes)
        .map(|process| process.pid)
        .collect();
    let mut text = format!(
        "{pattern}: {} databases, {}; {open} open in {} process(es)\n",
        found.len(),
        HumanBytes(bytes),
        processes.len()
    );
    let pushes = found
        .iter()
        .filter_map(|database| database.last_push.as_ref())
        .max_by(|one, other| one.time.cmp(&other.time));
    match pushes {
        Some(entry) => add(&mut text, format_args!("  last push: {}\n", of_entry(entry))),
        None => text.push_str("  last push: none\n"),
    }
    let example = found.first().map_or(pattern, |database| &*database.database);
    add(
        &mut text,
        format_args!(
            "  more about one of them: hotswap status {}\n",
            visible::word(example)
        ),
    );
    text
}

fn of_database(database: &DatabaseStatus) -> String {
    let mut text = database.database.clone();
    if let Some(name) = &database.name {
        add(&mut text, format_args!(" ({name})"));
    }
    add(&mut text, format_args!(": {}\n", facts(database)));
    if let Some(objection) = &database.objection {
        add(
            &mut text,
            format_args!("  hotswap leaves it alone: {objection}\n"),
        );
    }
    for command in &database.commands {
        add(&mut text, format_args!("  now: {}\n", of_command(command)));
    }
    match &database.last_push {
        Some(entry) => add(&mut text, format_args!("  last push: {}\n", of_entry(entry))),
        None => text.push_str("  last push: none\n"),
    }
    for version in &database.previous {
        let size = HumanBytes(version.bytes);
        let of_what = if version.only_rows { " of rows" } else { "" };
        add(
            &mut text,
            format_args!(
                "  previous: {}, {size}{of_what}, last changed {}\n",
                version.path, version.modified
            ),
        );
    }
    for process in &database.processes {
        add(&mut text, format_args!("  {}\n", of_process(process)));
    }
    if database.elsewhere {
        text.push_str("  a process in another container has it open\n");
    }
    text
}

fn facts(database: &DatabaseStatus) -> String {
    let Some(bytes) = database.bytes else {
        return "there is no file".into();
    };
    let mut facts = vec![HumanBytes(bytes).to_string()];
    facts.extend(
        database
            .journal_mode
            .as_ref()
            .map(|mode| format!("journal mode {mode}")),
    );
    facts.extend(
        database
            .wal_bytes
            .map(|bytes| format!("WAL {}", HumanBytes(bytes))),
    );
    facts.extend(
        database
            .schema_version
            .as_ref()
            .map(|version| format!("schema version {version}")),
    );
    facts.join(", ")
}

fn of_command(command: &CommandStatus) -> String {
    let mut text = format!(
        "{}, {}",
        command.command.as_deref().unwrap_or("a worker"),
        command.phase
    );
    match (command.done, command.total) {
        (Some(done), Some(total)) => add(&mut text, format_args!(" {} %", done * 100 / total.max(1))),
        (Some(done), None) => add(&mut text, format_args!(" {}", HumanBytes(done))),
        _ => {}
    }
    let parts = [
        ("from", &command.from),
        ("label", &command.label),
        ("since", &command.began),
        ("by", &command.who),
    ];
    for (word, part) in parts {
        part.iter()
            .for_each(|part| add(&mut text, format_args!(", {word} {part}")));
    }
    text
}

fn of_process(process: &ProcessStatus) -> String {
    let holds = process.holds.iter().map(|holds| match holds {
        Holds::Membership => "takes part in swaps",
        Holds::File => "has the file open",
        Holds::Operation => "runs a push or a rollback",
        Holds::Objection => "prevents swaps: it has the database open without SQLite's locks",
    });
    let holds: Vec<_> = holds.collect();
    let holds = holds.join(", ");
    match &*process.command {
        // This system does not tell what a process runs.
        "" => format!("process {}: {holds}", process.pid),
        command => format!("{} {} ({command}): {holds}", process.role, process.pid),
    }
}

/// An entry of the record, in one line.
pub(super) fn of_entry(entry: &Entry) -> String {
    let event = match entry.event {
        Event::Push => "push",
        Event::Pull => "pull",
        Event::Rollback => "rollback",
        Event::Refused => "refused",
        Event::Failed => "failed",
        Event::Other => "other",
    };
    let mut text = format!(
        "{}  {event:8}  {}",
        entry.time,
        entry.database.as_deref().unwrap_or_default()
    );
    if let (Event::Refused | Event::Failed, Some(command)) = (entry.event, &entry.command) {
        add(&mut text, format_args!(" ({command})"));
    }
    entry
        .bytes
        .iter()
        .for_each(|bytes| add(&mut text, format_args!(", {bytes} bytes")));
    match entry.way {
        Some(Way::Rename) => text.push_str(", renamed"),
        Some(Way::InPlace) => text.push_str(", written in place"),
        None => {}
    }
    entry
        .held_ms
        .iter()
        .for_each(|held| add(&mut text, format_args!(", requests held for {held:.1} ms")));
    entry
        .tables
        .iter()
        .for_each(|tables| add(&mut text, format_args!(", {}", of_tables(tables))));
    let parts = [
        ("from", &entry.from),
        ("to", &entry.to),
        ("label", &entry.label),
        ("by", &entry.who),
    ];
    for (word, part) in parts {
        part.iter()
            .for_each(|part| add(&mut text, format_args!(", {word} {part}")));
    }
    entry
        .error
        .iter()
        .for_each(|error| add(&mut text, format_args!(": {error}")));
    text
}

/// "only articles, tags"
fn of_tables(tables: &BTreeMap<String, TableChange>) -> String {
    let mut names: Vec<_> = tables
        .keys()
        .take(NAMED)
        .map(String::as_str)
        .map(visible::line)
        .collect();
    if tables.len() > NAMED {
        names.push(format!("{} more", tables.len() - NAMED));
    }
    format!("only {}", names.join(", "))
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_one_readable_line() {
        let entry = Entry {
            time: "2026-11-26T12:34:45.042Z".into(),
            event: Event::Push,
            database: Some("storage/production.sqlite3".into()),
            from: Some("new.sqlite3".into()),
            label: Some("v42".into()),
            bytes: Some(4096),
            way: Some(Way::Rename),
            held_ms: Some(3.21),
            ..Entry::default()
        };
        assert_eq!(
            of_entry(&entry),
            "2026-11-26T12:34:45.042Z  push      storage/production.sqlite3, 4096 bytes, renamed, requests held for 3.2 ms, \
             from new.sqlite3, label v42"
        );
    }

    #[test]
    fn an_entry_names_the_tables_if_it_is_about_some() {
        let tables = ["articles", "tags"].map(|name| (name.into(), TableChange::default()));
        let entry = Entry {
            event: Event::Push,
            tables: Some(tables.into()),
            from: Some("new.sqlite3".into()),
            ..Entry::default()
        };
        assert!(of_entry(&entry).ends_with(", only articles, tags, from new.sqlite3"));
    }

    #[test]
    fn many_databases_of_a_pattern_are_summed_up_except_those_that_a_command_is_working_on() {
        let tenant = |number: u64| DatabaseStatus {
            database: format!("tenants/{number}.sqlite3"),
            pattern: Some("tenants/*.sqlite3".into()),
            bytes: Some(1024),
            ..DatabaseStatus::default()
        };
        let mut status = Status {
            databases: (0..10).map(tenant).collect(),
            ..Status::default()
        };
        assert_eq!(of_status(&status, false).matches("last push").count(), 10);

        let commands = vec![CommandStatus {
            phase: "checking".into(),
            ..CommandStatus::default()
        }];
        let busy = DatabaseStatus {
            commands,
            ..tenant(10)
        };
        status.databases.push(busy);
        let text = of_status(&status, false);
        assert_eq!(text.matches("last push").count(), 2, "{text}");
        assert!(
            text.contains("tenants/*.sqlite3: 11 databases, 11.00 KiB; 0 open in 0 process(es)"),
            "{text}"
        );
        status.databases[0].database = "tenants/the shop.sqlite3".into();
        let text_with_a_space = of_status(&status, false);
        assert!(
            text_with_a_space.contains("more about one of them: hotswap status 'tenants/the shop.sqlite3'\n"),
            "{text_with_a_space}"
        );
        assert!(
            text.contains("tenants/10.sqlite3: 1.00 KiB\n  now: a worker, checking"),
            "{text}"
        );
    }

    #[test]
    fn a_command_that_runs_shows_its_progress() {
        let command = CommandStatus {
            command: Some("push".into()),
            phase: "checking".into(),
            done: Some(45),
            total: Some(100),
            ..CommandStatus::default()
        };
        assert_eq!(of_command(&command), "push, checking 45 %");
    }
}
