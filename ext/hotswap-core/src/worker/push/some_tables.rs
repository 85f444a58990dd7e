//! `--only` and `--except`: some tables get the rows of the pushed file, and all other tables stay as they are.
//!
//! Also the rollback of such a push. Its previous version is the difference between the rows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Once;

use super::if_match::IfMatch;
use super::in_place::{InPlaceWrite, Keeping, Source, Tables, Why};
use super::obstacle::Obstacle;
use super::{previous_version, rollback};
use crate::error::{BadFile, Busy, Context, Error, Refused, Result, Usage};
use crate::in_place::InPlace;
use crate::percent::Percent;
use crate::previous;
use crate::protocol::{Figures, TableChange, Way};
use crate::selection::Selection;
use crate::worker::check::seen::Seen;
use crate::worker::check::Check;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::{participants, Fleet};
use crate::worker::live::Live;
use crate::worker::schema::mismatch::printable;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::header::DatabaseHeader;
use crate::worker::sqlite::vfs::Purpose;
use crate::worker::summary::Summary;
use crate::worker::tables::{self, Counts, Table};

/// How many tables a line names.
const NAMED: usize = 8;

/// A push of some tables, whose file has passed the checks.
pub(super) struct SomeTables {
    pub chosen: Vec<Table>,
    pub seen: Seen,
}

impl SomeTables {
    /// Checks the staged file, and finds the tables that `selection` means.
    pub(super) fn check(
        command: &Command,
        selection: &Selection,
        staged: &mut Staged,
        live: Option<&mut Live>,
    ) -> Result<Self> {
        let label = &command.database.label;
        let live = live.ok_or_else(|| Refused::NoTablesToKeep {
            database: label.clone(),
        })?;
        // The thread borrows `live` mutably: a connection may move to another thread, but must not be shared.
        command.at_low_priority(move || {
            staged.set_wal(false)?;
            let seen = Check::of(command).beside_other_tables(staged, live)?;
            let extensions = &command.database.extensions;
            let file = Foreign::open(staged.path(), Purpose::Reading, extensions, command.client)?;
            let select =
                |names: &[String], parts: &[String]| selection.choose(&command.settings.tables, names, parts);
            let name = command.request.src.name();
            let chosen = tables::choose(select, live.connection(), &file, name, label)
                .map_err(|error| file.explain(error))?;
            match chosen.is_empty() {
                true => Err(Usage::NoTables {
                    option: selection.option(),
                }
                .into()),
                false => Ok(Self { chosen, seen }),
            }
        })
    }

    /// Writes the rows, and tells the user and the log.
    pub(super) fn push(
        self,
        command: &Command,
        fleet: &mut Fleet,
        staged: &Staged,
        live: Live,
        obstacle: Option<Obstacle>,
        keep: u32,
    ) -> Result<Figures> {
        participants::tell(fleet.fence(), command);
        command.client.info("comparing the tables");
        let warned = Once::new();
        let judge = |counts: &[Counts]| {
            require_rows(counts, command)?;
            warned.call_once(|| {
                emptied(counts).into_iter().for_each(|warning| {
                    command.client.log("warn", &warning);
                    command.client.status(format_args!("WARNING: {warning}"));
                });
            });
            Ok(())
        };
        let write = InPlaceWrite {
            fleet,
            live,
            staged,
            source: self.source(&judge, obstacle),
            schema_changes: false,
            seen: Some(&self.seen),
            unwritten: None,
            why: &Why::Tables,
            keep: Keeping::in_a_push(keep, command.is_probed()),
            all_pages: false,
        };
        let done = write.run(command)?;
        let counts = done.tables.unwrap_or_default();
        if counts.is_empty() {
            return Ok(unchanged(staged.len(), &self.chosen, command));
        }
        previous_version::trim(command, fleet, keep);
        Ok(report("push", staged.len(), &counts, fleet, command))
    }

    /// What is written.
    pub(super) fn source<'a>(
        &'a self,
        judge: &'a (dyn Fn(&[Counts]) -> Result<()> + Sync),
        obstacle: Option<Obstacle>,
    ) -> Source<'a> {
        Source::Tables(Tables {
            chosen: &self.chosen,
            judge,
            in_sticky_folder: obstacle == Some(Obstacle::StickyFolder),
        })
    }
}

/// Whether a version is the difference that a push of some tables has left.
pub(crate) fn is_difference(version: &Path) -> Result<bool> {
    const APPLICATION_ID: std::ops::Range<usize> = 68..72;
    let mut head = [0; 100];
    let file = File::open(version).on_path("cannot open", version)?;
    Ok(file.read_exact_at(&mut head, 0).is_ok()
        && head[..16] == *b"SQLite format 3\0"
        && head[APPLICATION_ID] == tables::APPLICATION_ID.to_be_bytes())
}

/// Puts the rows back that a push of some tables has replaced. All other tables stay as they are. The version stays, so
/// that a second rollback undoes the first.
pub(super) fn roll_back(
    command: &Command,
    number: u32,
    fleet: &mut Fleet,
    if_match: Option<IfMatch>,
) -> Result<Figures> {
    let (path, label) = (&*command.path, &command.database.label);
    let version = previous::require(path, number, label)?;
    if command.request.in_place == Some(InPlace::Never) {
        let database = label.clone();
        return Err(Refused::RowsInPlace { database }.into());
    }
    let known = rollback::is_as_kept(path, &version);
    let staged = Staged::adopt(&version)?;
    command.at_low_priority(|| examine(command, &version, &staged, known))?;
    let mut if_match = if_match;
    let done = loop {
        let mut live = Live::require(path)?;
        // The rows may be in tables with functions of an extension.
        live.schema(&command.database.extensions)?;
        let unwritten = match &if_match {
            Some(if_match) => Some(if_match.compare(Some(&mut live), command)?),
            None => None,
        };
        participants::tell(fleet.fence(), command);
        let write = InPlaceWrite {
            fleet,
            live,
            staged: &staged,
            source: Source::Version {
                path: &version,
                known,
            },
            schema_changes: false,
            seen: None,
            unwritten,
            why: &Why::Tables,
            keep: Keeping::Nothing,
            all_pages: false,
        };
        match (write.run(command), &mut if_match) {
            (Err(Error::Busy(Busy::Written)), Some(if_match)) => {
                fleet.resume()?;
                if_match.count_write(command)?;
            }
            (done, _) => break done?,
        }
    };
    let mark = previous::mark_of(&version).on_path("cannot stat", &version)?;
    command.client.account.note(|entry| entry.previous = Some(mark));
    // The version has only the rows that were replaced, so its size says nothing about the database.
    let counts = done.tables.unwrap_or_default();
    Ok(report("rollback", done.bytes, &counts, fleet, command))
}

/// Refuses a version that is damaged.
fn examine(command: &Command, version: &Path, staged: &Staged, known: bool) -> Result<()> {
    let name = version.file_name().unwrap_or_default().to_string_lossy();
    let header = DatabaseHeader::judge(&staged.head()?, staged.len(), &name);
    let checked = header.and_then(|_| match known {
        true => Ok(()),
        false => Check::of(command).alone(staged).map(drop),
    });
    checked.map_err(|error| match error {
        Error::Refused(Refused::File(why)) => rollback::unusable(&command.path, &why),
        other => other,
    })
}

/// Refuses if a table loses a larger part of its rows than the user allows.
pub(super) fn require_rows(counts: &[Counts], command: &Command) -> Result<()> {
    let Some(limit) = command.max_shrink() else {
        return Ok(());
    };
    let shrunk = counts.iter().filter_map(|table| {
        let (before, after) = (rows_before(table), rows_after(table));
        let lost = before.saturating_sub(after);
        let too_many = lost > 0 && Percent::of(lost, before) > limit;
        too_many.then(|| {
            let name = printable(table.table.as_bytes());
            format!("{name} {before} → {after} (-{})", Percent::of(lost, before))
        })
    });
    let shrunk: Vec<_> = shrunk.collect();
    if shrunk.is_empty() {
        return Ok(());
    }
    Err(BadFile::Shrunk {
        name: command.request.src.name().into(),
        database: command.database.label.clone(),
        limit,
        tables: listed(&shrunk),
    }
    .into())
}

/// The warning about tables that lose all their rows.
pub(super) fn emptied(counts: &[Counts]) -> Option<String> {
    let emptied = counts
        .iter()
        .filter(|table| rows_before(table) > 0 && rows_after(table) == 0);
    let names: Vec<_> = emptied.map(|table| printable(table.table.as_bytes())).collect();
    (!names.is_empty()).then(|| format!("these tables lose all their rows: {}", listed(&names)))
}

fn rows_before(table: &Counts) -> u64 {
    table.kept + table.changed + table.removed
}

fn rows_after(table: &Counts) -> u64 {
    table.kept + table.changed + table.added
}

fn listed(names: &[String]) -> String {
    let named = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}

/// "articles 12 added, 3 changed; authors unchanged"
fn in_words(counts: &[Counts]) -> String {
    let table = |table: &Counts| {
        let parts = [
            (table.added, "added"),
            (table.changed, "changed"),
            (table.removed, "removed"),
        ];
        let parts = parts.iter().filter(|(rows, _)| *rows > 0);
        let parts: Vec<_> = parts.map(|(rows, what)| format!("{rows} {what}")).collect();
        let what = match parts.is_empty() {
            true => "unchanged".to_owned(),
            false => parts.join(", "),
        };
        format!("{} {what}", printable(table.table.as_bytes()))
    };
    let tables: Vec<_> = counts.iter().map(table).collect();
    let named = tables[..tables.len().min(NAMED)].join("; ");
    match tables.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more tables"),
    }
}

/// The same for a program.
pub(super) fn changes(counts: &[Counts]) -> std::collections::BTreeMap<String, TableChange> {
    let change = |table: &Counts| TableChange {
        added: table.added,
        changed: table.changed,
        removed: table.removed,
        kept: table.kept,
    };
    counts
        .iter()
        .map(|table| (table.table.clone(), change(table)))
        .collect()
}

/// Tells the user and the log what was done.
fn report(name: &'static str, bytes: u64, counts: &[Counts], fleet: &Fleet, command: &Command) -> Figures {
    let client = command.client;
    let summary = Summary {
        command: name,
        label: &command.database.label,
        bytes,
        way: Way::InPlace,
        held: fleet.held(),
    };
    let options = command
        .request
        .options()
        .iter()
        .fold(String::new(), |all, option| format!("{all}, {option}"));
    let rows = in_words(counts);
    client.status(format_args!("{summary}; rows: {rows}."));
    client.info(format_args!(
        "{name} complete: {summary}; rows: {rows}{options}, {}",
        client.end()
    ));
    client.account.note(|entry| entry.tables = Some(changes(counts)));
    Figures {
        changed: command.request.if_changed.then_some(true),
        tables: Some(changes(counts)),
        ..summary.figures()
    }
}

/// Tells the user and the log that nothing was written.
fn unchanged(bytes: u64, chosen: &[Table], command: &Command) -> Figures {
    let (client, label) = (command.client, &command.database.label);
    let names: Vec<_> = chosen
        .iter()
        .map(|table| printable(table.name().as_bytes()))
        .collect();
    let text = format!("{label} already has these rows in {}", listed(&names));
    client.status(format_args!("{text}. Nothing was swapped."));
    client.info(format_args!(
        "push complete: {text}, nothing was swapped, {}",
        client.end()
    ));
    Figures {
        command: "push".into(),
        database: label.clone(),
        bytes,
        changed: Some(false),
        ..Figures::default()
    }
}
