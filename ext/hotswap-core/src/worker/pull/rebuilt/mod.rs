//! A copy in which tables are empty or values are replaced.
//!
//! The worker writes the copy from scratch. So a value that the copy must not have is nowhere in the file: in no free
//! page, in no index, and not in the rest of an overflow page. It is one consistent state, because the worker reads everything in one read transaction.
//!
//! 1. [`Plan`] says what the copy gets of each table.
//! 2. [`Draft`] makes tables, indexes and views in an empty file beside the database.
//! 3. [`Origin`] copies the rows. Where all rows come along as they are, SQLite copies the cells of the b-trees, with the
//!    indexes and with the tables in which virtual tables keep their content. It does not look into the values.
//! 4. The database is released. [`Draft`] makes the indexes of changed tables, full-text indexes over them and triggers,
//!    and runs the application's own statements. Full-text indexes that came along as they are still know the words of rows
//!    that are gone: [`Draft`] has them forget these. Both leave old values behind, so the file is then written anew.

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
use origin::Origin;
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
    let Copied { is_wal, is_clean } = copy(command, source, &staged, length, &rules)?;
    if !scripts.is_empty() {
        run(command, &staged, &scripts)?;
    }
    if !is_clean || !scripts.is_empty() {
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

/// What is known of a copy.
struct Copied {
    /// Whether the database is in WAL mode.
    is_wal: bool,
    /// Whether the file has had only values that the copy may have.
    is_clean: bool,
}

/// Builds the copy in `staged`, up to the application's own statements.
fn copy(command: &Command, source: &Path, staged: &Staged, length: u64, rules: &[&Rule]) -> Result<Copied> {
    let origin = Origin::open(source, staged.path(), command)?;
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

    Draft::open(staged, command)?
        .without_journal()?
        .lay_out(&schema, &plan, &properties)?;
    origin.report_progress(command, length)?;
    for table in &schema.tables {
        match (&table.kind, plan.of(table)) {
            // The parts have its rows.
            (Kind::Virtual { .. }, Keep::All) => {}
            (Kind::Part(_), keep) if *keep != Keep::All => {}
            (_, keep) => origin.transfer(table, keep)?,
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

    Draft::open(staged, command)?
        .without_journal()?
        .enter_virtual_tables(&schema, &plan)?;
    let draft = Draft::open(staged, command)?.without_journal()?;
    draft.make_indexes(&schema, &plan, true)?;
    draft.index_anew(&schema, &plan)?;
    let is_clean = !draft.tidy_up(&schema, &plan)?;
    draft.make_triggers(&schema)?;
    Ok(Copied {
        is_wal: properties.is_wal,
        is_clean,
    })
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
