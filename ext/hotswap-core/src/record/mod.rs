//! The record of a database: what commands did to it, one JSON object a line, in `<database>.hotswap.log`.
//!
//! A worker adds an entry at the end of each command. The record decides nothing, so a command does not fail if the
//! record cannot be written.
//!
//! - An entry is one line, and one `write` to a file that is open for appending. A worker that is killed, or a power
//!   cut, can leave a part of a line at the end. Readers skip it, and the next entry begins a new line.
//! - Near 1 MB, the file becomes `<database>.hotswap.log.1`, and a new one begins. A reader that opened the file
//!   before keeps it, so it misses nothing.
//! - Workers that write at the same time take turns with a lock (`flock`). It numbers the entries, and it decides who
//!   moves the file. A worker that does not get the lock soon writes without it.

mod entry;
mod file;

use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::time::Duration;

use crate::error::{Context, Result};
use crate::sys::thread::leave_signals_to_others;

use entry::parsed;
pub(crate) use entry::{now, rfc3339};
pub use entry::{Entry, Event, Kept};
pub use file::paths_of;

/// Adds an entry to the record of `database` (its resolved path), with the current time and the next number. A slow
/// disk delays the caller by at most `bound`.
pub fn append(database: &Path, entry: Entry, bound: Duration) -> Result<()> {
    let [path, _] = paths_of(database);
    let (done, wait) = channel();
    let database = database.to_owned();
    let write = move || {
        leave_signals_to_others();
        // The receiver is gone if this took too long.
        let _ = done.send(file::append(&database, entry));
    };
    let started = std::thread::Builder::new().name("record".into()).spawn(write);
    let written = started.and_then(|_| match wait.recv_timeout(bound) {
        Ok(written) => written,
        Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
        Err(RecvTimeoutError::Disconnected) => Err(Error::other("the thread that writes it ended")),
    });
    written.on_path("cannot write the record", &path)
}

/// All lines of the record that are whole, oldest first.
pub fn lines(database: &Path) -> Result<Vec<String>> {
    let [path, _] = paths_of(database);
    let lines = file::lines(database).on_path("cannot read the record", &path)?;
    Ok(lines
        .into_iter()
        .filter(|line| parsed::<serde::de::IgnoredAny>(line).is_some())
        .collect())
}

/// All entries, oldest first.
pub fn entries(database: &Path) -> Result<Vec<Entry>> {
    let [path, _] = paths_of(database);
    let lines = file::lines(database).on_path("cannot read the record", &path)?;
    Ok(lines.iter().filter_map(|line| parsed(line)).collect())
}

/// The entries, the newest first. An entry may come twice. Reads no more of the record than the caller needs.
pub(crate) fn newest_first(database: &Path) -> Result<impl Iterator<Item = Entry>> {
    let [path, _] = paths_of(database);
    let lines = file::newest_first(database).on_path("cannot read the record", &path)?;
    Ok(lines.filter_map(|line| parsed(&line)))
}

/// The versions that hotswap has kept, as far as the record reaches back.
pub fn kept(database: &Path) -> Vec<Kept> {
    let entries = entries(database).unwrap_or_default();
    entries.into_iter().filter_map(|entry| entry.previous).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::file::LONGEST;
    use crate::testing::eventually;
    use std::io::Write;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;

    fn add(database: &Path, entry: Entry) -> Result<()> {
        append(database, entry, Duration::from_secs(60))
    }

    fn entry(from: &str) -> Entry {
        Entry {
            from: Some(from.into()),
            ..Entry::default()
        }
    }

    fn database() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        std::fs::write(&database, b"x").unwrap();
        (folder, database)
    }

    fn sources(database: &Path) -> Vec<String> {
        let entries = entries(database).unwrap();
        entries.into_iter().filter_map(|entry| entry.from).collect()
    }

    #[test]
    fn entries_come_back_in_order_with_their_numbers() {
        let (_folder, database) = database();
        assert_eq!(entries(&database).unwrap(), []);
        add(&database, entry("a")).unwrap();
        add(&database, entry("b")).unwrap();
        let numbers: Vec<_> = entries(&database)
            .unwrap()
            .iter()
            .map(|entry| entry.sequence)
            .collect();
        assert_eq!(
            (sources(&database), numbers),
            (vec!["a".into(), "b".into()], vec![1, 2])
        );
        assert!(entries(&database).unwrap()[0].time.ends_with('Z'));
    }

    #[test]
    fn a_reader_of_the_newest_entries_gets_them_in_the_other_order() {
        let (_folder, database) = database();
        let texts: Vec<_> = (0..40).map(|n| format!("{n} {}", "x".repeat(n * 97))).collect();
        texts.iter().for_each(|text| add(&database, entry(text)).unwrap());
        let read: Vec<_> = newest_first(&database)
            .unwrap()
            .filter_map(|entry| entry.from)
            .collect();
        assert_eq!(read, texts.iter().rev().cloned().collect::<Vec<_>>());
        // The older file comes after the newer one.
        let [path, older] = paths_of(&database);
        std::fs::rename(path, older).unwrap();
        add(&database, entry("newest")).unwrap();
        let read: Vec<_> = newest_first(&database)
            .unwrap()
            .filter_map(|entry| entry.from)
            .collect();
        assert_eq!((read.len(), &*read[0], &read[1]), (41, "newest", &texts[39]));
    }

    #[test]
    fn a_part_of_a_line_is_skipped_and_the_next_entry_begins_a_new_one() {
        let (_folder, database) = database();
        add(&database, entry("a")).unwrap();
        let [path, _] = paths_of(&database);
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"{\"time\":\"2026-").unwrap();
        assert_eq!(sources(&database), ["a"]);
        add(&database, entry("b")).unwrap();
        assert_eq!(sources(&database), ["a", "b"]);
        assert_eq!(entries(&database).unwrap()[1].sequence, 2);
        assert_eq!(lines(&database).unwrap().len(), 2);
    }

    #[test]
    fn a_new_file_begins_before_the_record_is_too_long_and_the_numbers_go_on() {
        let (_folder, database) = database();
        let long = "x".repeat(10_000);
        for _ in 0..250 {
            add(&database, entry(&long)).unwrap();
        }
        let entries = entries(&database).unwrap();
        let last = entries.last().unwrap().sequence;
        assert_eq!(last, 250);
        let numbers: Vec<_> = entries.iter().map(|entry| entry.sequence).collect();
        assert_eq!(
            numbers,
            (last + 1 - numbers.len() as u64..=last).collect::<Vec<_>>()
        );
        let lengths = paths_of(&database).map(|path| path.metadata().unwrap().len());
        assert!(lengths.iter().all(|length| *length <= LONGEST), "{lengths:?}");
        assert!(lengths[1] > LONGEST - 20_000, "{lengths:?}");
    }

    #[test]
    fn pulls_do_not_push_the_newest_swaps_out() {
        let (_folder, database) = database();
        let of = |event, from: &str| Entry { event, ..entry(from) };
        (1..=30).for_each(|n| add(&database, of(Event::Push, &n.to_string())).unwrap());
        let long = "x".repeat(20_000);
        for _ in 0..250 {
            add(&database, of(Event::Pull, &long)).unwrap();
        }
        let found: Vec<_> = entries(&database)
            .unwrap()
            .into_iter()
            .filter(|entry| entry.event == Event::Push)
            .map(|entry| entry.sequence)
            .collect();
        assert_eq!(found, (11..=30).collect::<Vec<_>>());
        let last = entries(&database).unwrap().last().map(|entry| entry.sequence);
        assert_eq!(last, Some(280));
    }

    #[test]
    fn workers_that_write_at_the_same_time_lose_no_entry_while_the_file_moves() {
        let (_folder, database) = database();
        // The first file moves once in this time, and the second one does not become full.
        let long = "x".repeat(10_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..35).for_each(|_| add(&database, entry(&long)).unwrap()));
            }
            for _ in 0..200 {
                let numbers: Vec<_> = entries(&database)
                    .unwrap()
                    .iter()
                    .map(|entry| entry.sequence)
                    .collect();
                assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
            }
        });
        assert_eq!(entries(&database).unwrap().len(), 140);
    }

    /// Runs in a process of its own, which the next test kills.
    #[test]
    #[ignore = "it never ends"]
    fn appends_until_killed() {
        let database = PathBuf::from(std::env::var_os("RECORD_OF").unwrap());
        let long = "x".repeat(20_000);
        loop {
            add(&database, entry(&long)).unwrap();
        }
    }

    #[test]
    fn a_worker_that_is_killed_leaves_every_earlier_entry() {
        let (_folder, database) = database();
        let mut numbers = Vec::new();
        for round in 0..20 {
            let mut worker = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "record::tests::appends_until_killed",
                    "--exact",
                    "--ignored",
                    "--quiet",
                ])
                .env("RECORD_OF", &database)
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap();
            eventually(|| entries(&database).unwrap().len() > numbers.len().min(40));
            std::thread::sleep(Duration::from_micros(round * 700));
            worker.kill().unwrap();
            worker.wait().unwrap();
            add(&database, entry("after")).unwrap();
            let entries = entries(&database).unwrap();
            assert_eq!(entries.last().unwrap().from.as_deref(), Some("after"));
            numbers = entries.iter().map(|entry| entry.sequence).collect();
            let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
            assert_eq!(numbers, (first..=last).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_entry_of_many_tables_does_without_their_rows() {
        let (_folder, database) = database();
        let rows = (0..10_000).map(|n| (format!("a table with a long name {n}"), n));
        let much = Entry {
            rows: Some(rows.collect()),
            ..entry("much")
        };
        add(&database, much).unwrap();
        let entries = entries(&database).unwrap();
        assert_eq!(
            (entries[0].from.as_deref(), &entries[0].rows),
            (Some("much"), &None)
        );
    }

    #[test]
    fn the_record_is_for_those_who_may_use_the_database() {
        let (_folder, database) = database();
        std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o640)).unwrap();
        add(&database, entry("a")).unwrap();
        let [path, _] = paths_of(&database);
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_symlink_in_place_of_the_record_is_not_followed() {
        let (folder, database) = database();
        let [path, _] = paths_of(&database);
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(add(&database, entry("a")).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }
}
