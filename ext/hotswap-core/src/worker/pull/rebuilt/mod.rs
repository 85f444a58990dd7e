//! A copy in which tables are empty or values are replaced.
//!
//! The worker writes the copy from scratch. So a value that the copy must not have is nowhere in the file: in no free
//! page, in no index, and not in the rest of an overflow page. It is one consistent state, because the worker reads
//! everything in one read transaction.
//!
//! 1. [`Plan`] says what the copy gets of each table.
//! 2. [`Draft`] makes tables, indexes and views in an empty file: the client's, or one next to the database (see
//!    [`Place`]).
//! 3. [`Trees`] copies the b-trees of tables that come along as they are, with their indexes, and of the tables in
//!    which virtual tables keep their content. [`Origin`] copies rows whose values are changed, and trees that
//!    [`Trees`] leaves to it.
//! 4. Full-text indexes that come along as they are still know the words of rows that are gone. A second thread copies
//!    them into a file of their own, where they forget these words. From there they come into the copy.
//! 5. [`Draft`] makes the indexes of changed tables, full-text indexes over them and triggers. It runs the
//!    application's own statements. These leave old values behind, so the copy is then written once more.

mod draft;
mod origin;
mod place;
mod plan;
mod schema;
mod table;
mod trees;

use std::fs::File;
use std::path::Path;

use crate::error::{Context, Refused, Result, Unredactable};
use crate::leftovers;
use crate::redaction_rules::{Rule, Script};
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::snapshot::{Hashes, Pages};
use crate::worker::sqlite::host::has_mutexes;

use draft::Draft;
use origin::Origin;
use place::Place;
use plan::{Keep, Plan};
use schema::Schema;
use table::{Kind, Table};
use trees::{Roots, Trees};

/// Where a copy is.
pub(super) enum Built {
    /// In a staged file.
    Staged(Staged),
    /// In the client's file. These hashes of it are known.
    OfClient(Hashes),
}

/// Builds a copy of the database at `source` for the client of `command`: with the rows of the selected tables, and
/// `redacted` if the application's rules apply. The copy is in `target`, the client's empty file, unless SQLite cannot
/// work there.
pub(super) fn build(
    command: &Command,
    source: &Path,
    redacted: bool,
    target: Option<&File>,
) -> Result<Built> {
    let (rules, scripts) = match redacted {
        true => rules(command)?,
        false => Default::default(),
    };
    // A pull that died may have left a file.
    let removed = leftovers::sweep(std::slice::from_ref(&command.path));
    for name in removed {
        command.client.log("info", leftovers::removed(&name));
    }
    // What statements of the application leave behind must never be in the client's file.
    let target = target.filter(|_| scripts.is_empty());
    let of_client = target.and_then(|target| Place::of_client(target, &command.request.dst.raw, source));
    let mut place = of_client.map_or_else(|| Place::next_to(&command.path), Ok)?;
    let mut hashes = Hashes::default();
    let is_wal = copy(command, source, &place, &rules, &mut hashes)?;
    if !scripts.is_empty() {
        run(command, &place, &scripts)?;
        let clean = Place::next_to(&command.path)?;
        clean.require_room(place.len()?)?;
        Draft::open(&place, command)?.write_into(&clean)?;
        place = clean;
    }
    let staged = place.complete(is_wal, command)?;
    Ok(staged.map_or(Built::OfClient(hashes), Built::Staged))
}

/// The rules and scripts for the database of `command`.
fn rules<'a>(command: &Command<'a>) -> Result<(Vec<&'a Rule>, Vec<&'a Script>)> {
    let (rules, scripts) = command.settings.redaction_of(command.database)?;
    if rules.is_empty() && scripts.is_empty() {
        let database = command.database.label.clone();
        let name = command.settings.name_in_rules(command.database);
        return Err(Refused::from(Unredactable::NoRules { database, name }).into());
    }
    Ok((rules, scripts))
}

/// Builds the copy in `place`, up to the application's own statements. Returns whether the database is in WAL mode.
/// `hashes` gets the hashes of the pages that no later step changes.
fn copy(
    command: &Command,
    source: &Path,
    place: &Place,
    rules: &[&Rule],
    hashes: &mut Hashes,
) -> Result<bool> {
    let indexes = Place::next_to(&command.path)?;
    let origin = Origin::open(source, place, command)?;
    let of_indexes = Origin::open(source, &indexes, command)?;
    let pages = of_indexes.pin_with(&origin)?;
    // The copy is hardly ever longer.
    let length = pages.len();
    place.require_room(length)?;
    let reading = |error| origin.explain(error);
    let live = origin.connection();
    let roots = Roots::read(live).map_err(|error| origin.unreadable(error))?;
    let original = Original { pages: &pages, roots };
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

    let parts: Vec<_> = schema
        .parts_of_full_text(|owner| *plan.of(owner) == Keep::All)
        .collect();
    let lay_out = |place| {
        Draft::open(place, command)?
            .without_journal()?
            .lay_out(&schema, &plan, &properties)
    };
    lay_out(place)?;
    let is_identified = command.request.identity && place.staged().is_none();
    let rest = || {
        let whole = schema.tables.iter().filter(|table| {
            let is_part = || parts.iter().any(|part| part.name == table.name);
            !table.is_virtual() && *plan.of(table) == Keep::All && !is_part()
        });
        let mut report = place.growth(command, length)?;
        let mut done = copy_trees(&original, place, whole, |bytes, at| {
            if is_identified {
                hashes.add(bytes, at, original.pages.size as usize);
            }
            report();
            command.client.check_presence()
        })?;
        done.extend(&parts);
        origin.report(report)?;
        transfer(&origin, &schema, &plan, &done)?;
        origin.finish()
    };
    if parts.is_empty() {
        drop(of_indexes);
        rest()?;
    } else {
        lay_out(&indexes)?;
        let forget = || {
            copy_parts(&of_indexes, &original, &indexes, &parts, command)?;
            of_indexes.finish()?;
            enter_virtual_tables(&indexes, command, &schema, &plan)?;
            Draft::open(&indexes, command)?
                .without_journal()?
                .tidy_up(&schema, &plan)
        };
        at_once(forget, rest)?;
        let path = indexes.staged().expect("it is next to the database");
        let tidy = Origin::open(path, place, command)?;
        tidy.pin()?;
        let pages = Pages::of(tidy.connection(), path)?;
        let roots = Roots::read(tidy.connection()).map_err(|error| tidy.unreadable(error))?;
        let original = Original { pages: &pages, roots };
        copy_parts(&tidy, &original, place, &parts, command)?;
        tidy.finish()?;
    }
    enter_virtual_tables(place, command, &schema, &plan)?;
    let draft = Draft::open(place, command)?.without_journal()?;
    draft.make_indexes(&schema, &plan, true)?;
    draft.index_anew(&schema, &plan)?;
    draft.make_triggers(&schema)?;
    Ok(properties.is_wal)
}

/// A pinned state, as raw pages.
struct Original<'a> {
    pages: &'a Pages,
    roots: Roots,
}

/// Copies the trees of `tables`. `written` gets all new pages. Returns the tables that it has copied. The others need
/// to be [transferred](Origin::transfer).
fn copy_trees<'a>(
    original: &Original,
    place: &Place,
    tables: impl Iterator<Item = &'a Table>,
    mut written: impl FnMut(&[u8], u64) -> Result<()>,
) -> Result<Vec<&'a Table>> {
    let to = Roots::read(&place.open()?).on_path("cannot read", place.name())?;
    let mut copied = Vec::new();
    let trees = Trees::between(original.pages, place.file(), place.name(), &mut written)?;
    if let Some(mut trees) = trees {
        for table in tables {
            if trees.copy(table, &original.roots, &to)? {
                copied.push(table);
            }
        }
        trees.finish()?;
    }
    Ok(copied)
}

/// Copies the tables in which full-text tables keep their content.
fn copy_parts(
    origin: &Origin,
    original: &Original,
    place: &Place,
    parts: &[&Table],
    command: &Command,
) -> Result<()> {
    let copied = copy_trees(original, place, parts.iter().copied(), |_, _| {
        command.client.check_presence()
    })?;
    let mut rest = parts
        .iter()
        .filter(|part| !copied.iter().any(|copied| copied.name == part.name));
    rest.try_for_each(|part| origin.transfer(part, &Keep::All))
}

/// Copies the rows of all tables but those that are `done`.
fn transfer(origin: &Origin, schema: &Schema, plan: &Plan, done: &[&Table]) -> Result<()> {
    let is_done = |table: &Table| done.iter().any(|done| done.name == table.name);
    for table in schema.tables.iter().filter(|table| !is_done(table)) {
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
    let all = names(|keep| *keep == Keep::All);
    let filled = names(|keep| *keep != Keep::Nothing);
    origin.transfer_statistics(&all, &filled)
}

fn enter_virtual_tables(place: &Place, command: &Command, schema: &Schema, plan: &Plan) -> Result<()> {
    Draft::open(place, command)?
        .without_journal()?
        .enter_virtual_tables(schema, plan)
}

/// Does the `first` in a second thread, if SQLite takes two.
fn at_once(first: impl FnOnce() -> Result<()> + Send, second: impl FnOnce() -> Result<()>) -> Result<()> {
    if !has_mutexes() {
        return first().and_then(|()| second());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("indexes".into());
        let first = thread
            .spawn_scoped(scope, first)
            .context("cannot start a thread")?;
        let done = second();
        let first = first
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.and(first)
    })
}

/// Runs the application's own statements on the copy.
fn run(command: &Command, place: &Place, scripts: &[&Script]) -> Result<()> {
    let draft = Draft::open(place, command)?;
    draft.confine(place.room_to_grow()?)?;
    for script in scripts {
        draft.run_script(&script.path)?;
    }
    drop(draft);
    // Another connection, because the statements may have changed the settings of theirs.
    Draft::open(place, command)?.without_journal()?.tidy_all_up()
}
