//! `--dry-run`: everything up to the swap, for a report.
//!
//! The gates stay open. The worker asks the fleet to settle, as before each swap, and then withdraws.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::check_staged::check_staged;
use super::checked::Checked;
use super::if_match::IfMatch;
use super::in_place::{self, InPlaceWrite, Keeping, Source, Why};
use super::obstacle::Obstacle;
use super::row_counts::RowCounts;
use super::some_tables::{self, SomeTables};
use crate::error::{BadFile, Context, Error, Refused, Result};
use crate::protocol::{DryRun, Figures, Process, RowChange, Side, Way};
use crate::record::{self, Event};
use crate::status::ProcessStatus;
use crate::worker::check::Passed;
use crate::worker::command::Command;
use crate::worker::deadline::Deadline;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::Fleet;
use crate::worker::live::Live;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::header::DatabaseHeader;
use crate::worker::sqlite::vfs::Purpose;
use crate::worker::status::Processes;
use crate::worker::tables::Counts;

/// The expected pause is the median of so many swaps.
const LAST: usize = 9;

/// A push up to its checks.
pub(super) struct Rehearsal<'a> {
    pub command: &'a Command<'a>,
    pub fleet: &'a mut Fleet,
    /// The header of the file as it was received.
    pub head: [u8; 100],
    pub staged: Staged,
    pub live: Option<Live>,
    pub obstacle: Option<Obstacle>,
}

impl Rehearsal<'_> {
    /// Reports what the push would do. Fails as the push would, and reports all the same.
    pub(super) fn run(mut self, checks: Result<Checked>, if_match: Option<IfMatch>) -> Result<Figures> {
        let command = self.command;
        if let Some(if_match) = if_match {
            if_match.compare(self.live.as_mut(), command)?;
        }
        let (passed, some_tables, mut refused) = match checks {
            Ok(Checked::Whole(passed, _)) => (Some(passed), None, None),
            Ok(Checked::Tables(tables)) => (Some(Passed::alone()), Some(tables), None),
            Err(error @ Error::Refused(_)) => (None, None, Some(error)),
            Err(error) => return Err(error),
        };
        let file = of_head(&self.head, self.staged.len());
        let comparable = refused.as_ref().is_none_or(is_of_the_content);
        let of_tables = command.request.tables.is_some();
        let (rows, live) = match comparable && !of_tables {
            true => (self.rows(), self.live.as_ref().map(of_live).transpose()?),
            false => (None, self.live.as_ref().and_then(|live| of_live(live).ok())),
        };
        let schema_difference = match (&passed, &refused) {
            (Some(passed), _) => passed.schema_difference.clone(),
            (
                _,
                Some(Error::Refused(Refused::File(BadFile::SchemaMismatch {
                    statements, names, ..
                }))),
            ) => Some(format!("{statements}\n{names}")),
            _ => None,
        };
        let drain = self
            .fleet
            .drain(Instant::now() + command.timeout(), command.client)?;
        let processes = self.processes();
        let why = match self.live.is_some() {
            _ if of_tables => Some(Why::Tables),
            true => Why::foreseen(command.in_place(), self.obstacle, &command.path, |_| {}),
            false => None,
        };
        let way = why.as_ref().map_or(Way::Rename, |_| Way::InPlace);
        let (mut tables, mut warnings) = (None, Vec::new());
        let pause = match &why {
            None => usual_pause(command),
            Some(_) if refused.is_some() => None,
            Some(why) => match self.estimate(why, some_tables.as_ref()) {
                Ok((estimate, counts)) => {
                    warnings.extend(counts.as_deref().and_then(some_tables::emptied));
                    tables = counts.as_deref().map(some_tables::changes);
                    Some(milliseconds(estimate))
                }
                Err(error @ Error::Refused(_)) => {
                    refused = Some(error);
                    None
                }
                Err(error) => return Err(error),
            },
        };
        let integrity = match (&passed, command.request.skip_integrity_check) {
            (_, true) => Some("skipped"),
            (Some(_), false) => Some("passed"),
            (None, false) => comparable.then_some("passed"),
        };
        warnings.extend(passed.into_iter().flat_map(|passed| passed.warnings));
        let figures = Figures {
            command: "push".into(),
            database: command.database.label.clone(),
            bytes: file.bytes,
            dry_run: Some(Box::new(DryRun {
                way,
                why: why.map(|why| why.to_string()),
                pause_ms: pause,
                drain_ms: Some(milliseconds(drain)),
                integrity: integrity.map(Into::into),
                schema_difference,
                live,
                file,
                rows,
                tables,
                processes,
                warnings,
            })),
            ..Figures::default()
        };
        command.client.info(format_args!(
            "dry run complete: {}, nothing was swapped, {}",
            command.database.label,
            command.client.end()
        ));
        match refused {
            None => Ok(figures),
            Some(error) => {
                command.client.found(figures);
                Err(error)
            }
        }
    }

    /// The processes of the application that have the database open, without this worker.
    fn processes(&self) -> Vec<Process> {
        let processes = Processes::now().with(Some(self.fleet.fence()), &[]).into_iter();
        let of = |process: ProcessStatus| Process {
            pid: process.pid,
            role: process.role.to_string(),
            command: process.command,
        };
        processes.map(of).collect()
    }

    fn rows(&mut self) -> Option<BTreeMap<String, RowChange>> {
        let (command, staged, live) = (self.command, &self.staged, self.live.as_mut());
        let (before, after) = command.at_low_priority(move || {
            let before = live.and_then(|live| {
                // Ends the count if the client leaves.
                let _deadline = Deadline::watch(live.connection(), command.client, None).ok()?;
                RowCounts::count_all(live.connection()).counted()
            });
            let extensions = &command.database.extensions;
            let judging = Foreign::open(staged.path(), Purpose::Reading, extensions, command.client);
            (
                before,
                judging
                    .ok()
                    .and_then(|judging| RowCounts::count_all(&judging).counted()),
            )
        });
        let mut rows: BTreeMap<String, RowChange> = BTreeMap::new();
        for (name, count) in before.into_iter().flatten() {
            rows.entry(name).or_default().before = Some(count);
        }
        for (name, count) in after? {
            rows.entry(name).or_default().after = Some(count);
        }
        Some(rows)
    }

    /// How long requests would wait for a write in place, and what it would do to each table.
    fn estimate(
        &mut self,
        why: &Why,
        tables: Option<&SomeTables>,
    ) -> Result<(Duration, Option<Vec<Counts>>)> {
        let command = self.command;
        let mut live = self
            .live
            .take()
            .expect("only a live database is written in place");
        let (staged, open) = (&mut self.staged, &mut live);
        if tables.is_none() {
            command.at_low_priority(move || match in_place::fit(staged, open, command)? {
                true => check_staged(command, staged, Some(&*open)).map(drop),
                false => Ok(()),
            })?;
        }
        let judge = |counts: &[Counts]| some_tables::require_rows(counts, command);
        let write = InPlaceWrite {
            fleet: self.fleet,
            live,
            staged: &self.staged,
            source: match tables {
                Some(tables) => tables.source(&judge, self.obstacle),
                None => Source::File,
            },
            schema_changes: false,
            seen: None,
            unwritten: None,
            why,
            all_pages: false,
            keep: Keeping::in_a_push(command.settings.keep, command.is_probed()),
        };
        write.estimate(command)
    }
}

/// Whether the file itself is sound, and only its content does not fit.
fn is_of_the_content(error: &Error) -> bool {
    matches!(
        error,
        Error::Refused(Refused::File(
            BadFile::SchemaMismatch { .. } | BadFile::NoRows { .. } | BadFile::Shrunk { .. }
        ))
    )
}

/// The median of what the record says about the last swaps by a rename.
fn usual_pause(command: &Command) -> Option<f64> {
    let entries = record::entries(&command.path).ok()?;
    let swaps = entries.iter().rev().filter(|entry| {
        matches!(entry.event, Event::Push | Event::Rollback) && entry.way == Some(Way::Rename)
    });
    let mut pauses: Vec<f64> = swaps.filter_map(|entry| entry.held_ms).take(LAST).collect();
    pauses.sort_by(f64::total_cmp);
    pauses.get(pauses.len() / 2).copied()
}

fn of_head(head: &[u8; 100], bytes: u64) -> Side {
    let header = DatabaseHeader::read(head);
    let word = |at: usize| i32::from_be_bytes(head[at..at + 4].try_into().expect("four bytes"));
    Side {
        bytes,
        page_size: header.page_size,
        journal_mode: mode(header.wal),
        application_id: word(68),
        user_version: word(60),
    }
}

fn of_live(live: &Live) -> Result<Side> {
    let number = |pragma| ask(live.connection(), pragma).on_path("cannot read", live.path());
    let page_size = number("PRAGMA page_size")?.unsigned_abs();
    Ok(Side {
        bytes: number("PRAGMA page_count")?.unsigned_abs() * page_size,
        page_size,
        journal_mode: mode(live.is_wal()),
        application_id: number("PRAGMA application_id")? as i32,
        user_version: number("PRAGMA user_version")? as i32,
    })
}

fn ask(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.query_row(pragma, [], |row| row.get(0))
}

fn mode(wal: bool) -> String {
    if wal { "wal" } else { "rollback" }.into()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
