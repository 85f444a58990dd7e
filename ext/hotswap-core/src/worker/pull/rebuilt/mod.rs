//! A copy in which tables are empty or values are replaced.
//!
//! The worker writes the copy from scratch. So a value that the copy must not have is nowhere in the file: in no free
//! page, in no index, and not in the rest of an overflow page. It is one consistent state, because the worker reads everything in one read transaction.
//!
//! 1. [`Plan`] says what the copy gets of each table.
//! 2. [`Draft`] makes tables, indexes and views in an empty file beside the database.
//! 3. [`Origin`] copies the rows. Where all rows come along as they are, SQLite copies the cells of the b-trees, with the
//!    indexes and with the tables in which virtual tables keep their content. It does not look into the values.
//!    Full-text indexes that come along as they are still know the words of rows that are gone. They go into a file of their
//!    own.
//! 4. The database is released. In their file, these indexes forget the words, and come from there into the copy.
//! 5. [`Draft`] makes the indexes of changed tables, full-text indexes over them and triggers. It runs the application's own
//!    statements. These leave old values behind, so the copy is then written once more.

mod draft;
mod origin;
mod plan;
mod schema;
mod table;

use std::path::Path;

use crate::error::{Context, Refused, Result, Unredactable};
use crate::leftovers;
use crate::redaction::{Rule, Script};
use crate::sidecar::sidecars;
use crate::worker::command::Command;
use crate::worker::disk::space;
use crate::worker::disk::staged::Staged;

use draft::Draft;
use origin::{Origin, Target};
use plan::{Keep, Plan};
use schema::Schema;
use table::{Kind, Table};

/// Builds a copy of the database at `source` for the client of `command`: with the rows of the selected tables, and
/// `redacted` if the application's rules apply.
pub(super) fn build(command: &Command, source: &Path, redacted: bool) -> Result<Staged> {
    let (rules, scripts) = match redacted {
        true => rules(command)?,
        false => Default::default(),
    };
    // A pull that died may have left a file.
    let removed = leftovers::sweep(std::slice::from_ref(&command.path));
    for name in removed {
        command.client.log("info", leftovers::removed(&name));
    }
    let mut staged = Staged::create(&command.path)?;
    let length = length_of(source);
    space::require(staged.file(), length, "the copy")?;
    let is_wal = copy(command, source, &staged, length, &rules)?;
    if !scripts.is_empty() {
        run(command, &staged, &scripts)?;
        staged = clean(command, &staged)?;
    }
    staged.set_wal(is_wal)?;
    staged.remeasure()?;
    Ok(staged)
}

/// The rules and scripts for the database of `command`.
fn rules<'a>(command: &Command<'a>) -> Result<(Vec<&'a Rule>, Vec<&'a Script>)> {
    let (rules, scripts) = command.settings.redaction_of(command.database)?;
    if rules.is_empty() && scripts.is_empty() {
        let database = command.database.label.clone();
        return Err(Refused::from(Unredactable::NoRules { database }).into());
    }
    Ok((rules, scripts))
}

/// At most as long as the copy: what is in the WAL may replace pages of the file.
fn length_of(source: &Path) -> u64 {
    let log = sidecars(source).next();
    let paths = [Some(source.to_owned()), log];
    let lengths = paths
        .iter()
        .flatten()
        .map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len()));
    lengths.sum()
}

/// Builds the copy in `staged`, up to the application's own statements. Returns whether the database is in WAL mode.
fn copy(command: &Command, source: &Path, staged: &Staged, length: u64, rules: &[&Rule]) -> Result<bool> {
    let indexes = Staged::create(&command.path)?;
    let origin = Origin::open(source, staged.path(), Some(indexes.path()), command)?;
    let reading = |error| origin.explain(error);
    let live = origin.connection();
    let schema = Schema::read(live)
        .on_path("cannot read the schema of", source)
        .map_err(reading)?;
    let properties = origin
        .properties()
        .on_path("cannot read", source)
        .map_err(reading)?;
    let mut plan = Plan::of_all(&schema);
    if let Some(selection) = &command.request.tables {
        plan.select(selection, &command.settings.tables, &schema)?;
    }
    plan.redact(rules, &schema, live, &command.database.label)
        .map_err(reading)?;
    plan.follow(&schema)?;

    let of_indexes: Vec<_> = schema
        .parts_of_full_text(|owner| *plan.of(owner) == Keep::All)
        .collect();
    let is_of_index = |table: &Table| of_indexes.iter().any(|part| part.name == table.name);
    let mut files = vec![staged];
    files.extend((!of_indexes.is_empty()).then_some(&indexes));
    for file in &files {
        Draft::open(file, command)?
            .without_journal()?
            .lay_out(&schema, &plan, &properties)?;
    }
    origin.report_progress(command, length)?;
    for table in &schema.tables {
        match (&table.kind, plan.of(table)) {
            // The parts have its rows.
            (Kind::Virtual { .. }, Keep::All) => {}
            (Kind::Part(_), keep) if *keep != Keep::All => {}
            (_, keep) if is_of_index(table) => origin.transfer(table, keep, Target::Indexes)?,
            (_, keep) => origin.transfer(table, keep, Target::Copy)?,
        }
    }
    let names = |wanted: fn(&Keep) -> bool| {
        let tables = schema.tables.iter().filter(|table| wanted(plan.of(table)));
        tables
            .map(|table: &Table| table.name.as_str())
            .collect::<Vec<_>>()
    };
    let (all, filled) = (
        names(|keep| *keep == Keep::All),
        names(|keep| *keep != Keep::Nothing),
    );
    origin.transfer_statistics(&all, &filled)?;
    origin.finish()?;

    for file in &files {
        Draft::open(file, command)?
            .without_journal()?
            .enter_virtual_tables(&schema, &plan)?;
    }
    if !of_indexes.is_empty() {
        Draft::open(&indexes, command)?
            .without_journal()?
            .tidy_up(&schema, &plan)?;
        let tidy = Origin::open(indexes.path(), staged.path(), None, command)?;
        for part in of_indexes {
            tidy.transfer(part, &Keep::All, Target::Copy)?;
        }
        tidy.finish()?;
    }
    let draft = Draft::open(staged, command)?.without_journal()?;
    draft.make_indexes(&schema, &plan, true)?;
    draft.index_anew(&schema, &plan)?;
    draft.make_triggers(&schema)?;
    Ok(properties.is_wal)
}

/// Runs the application's own statements on the copy.
fn run(command: &Command, staged: &Staged, scripts: &[&Script]) -> Result<()> {
    let draft = Draft::open(staged, command)?;
    for script in scripts {
        draft.run_script(&script.path)?;
    }
    drop(draft);
    // Another connection, because the statements may have changed the settings of theirs.
    Draft::open(staged, command)?.without_journal()?.tidy_all_up()
}

/// Writes the copy into another file, which has nothing that was removed from it.
fn clean(command: &Command, staged: &Staged) -> Result<Staged> {
    let clean = Staged::create(&command.path)?;
    space::require(clean.file(), length_of(staged.path()), "the copy")?;
    Draft::open(staged, command)?.write_into(clean.path())?;
    Ok(clean)
}
