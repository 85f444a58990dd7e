//! The rows that differ, in a file.
//!
//! The difference file has two tables for each table that is compared: the rows that go (`old_0`), and the rows that
//! come (`new_0`). A row that changes is in both. Its first column says how it is written: a number whose bits are the
//! columns to update, or NULL if the row is deleted and inserted again. That is for rows whose values must be unique:
//! two rows may have exchanged them.

use rusqlite::{Connection, OptionalExtension};

use super::compare::{compare, Cost, Writer};
use super::counts::Counts;
use super::recoded;
use super::sql::{list, quoted};
use super::table::Table;
use crate::error::{BadFile, Context, Result};
use crate::worker::disk::staged::Staged;
use crate::worker::schema::Schema;
use crate::worker::sqlite::vfs::{self, Purpose};

/// SQLite's `application_id` of a difference file.
pub(crate) const APPLICATION_ID: i32 = 0x6873_6469;
/// The table that lists the compared tables.
const TABLES: &str = "hotswap_tables";
/// The version of what a difference file contains.
const FORMAT: i32 = 1;

/// Forward makes the live tables like those of the pushed file. Back makes them as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Back,
}

impl Direction {
    /// The tables of the rows that go, and of the rows that come.
    pub(super) fn sets(self) -> (&'static str, &'static str) {
        match self {
            Self::Forward => ("old", "new"),
            Self::Back => ("new", "old"),
        }
    }
}

/// A difference file.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(super) staged: Staged,
    pub(super) tables: Vec<Table>,
    counts: Vec<Counts>,
    /// The number after which AUTOINCREMENT goes on in the pushed file.
    pub(super) sequences: Vec<Option<i64>>,
    cost: Cost,
}

impl Difference {
    /// Compares `tables` of both databases and writes the difference into `staged`, which is empty and next to the live
    /// database. The caller has begun a read transaction on `live`. `tick` gets the number of rows that are compared
    /// and the number of rows of the file.
    pub(crate) fn find(
        live: &Connection,
        file: &Connection,
        tables: &[Table],
        mut staged: Staged,
        mut tick: impl FnMut(u64, u64) -> Result<()>,
    ) -> Result<Self> {
        let writing = "cannot write the difference";
        let target = vfs::open(staged.path(), Purpose::Changing)?;
        create(&target, live, tables).context(writing)?;
        let recode = recoded::is_needed(live, file).context("cannot read the file")?;
        let mut total = 0;
        for table in tables {
            total += count(file, table).context("cannot count the rows of the file")?;
        }
        let (mut done, mut cost) = (0, Cost::default());
        let (mut counts, mut sequences) = (Vec::new(), Vec::new());
        for (at, table) in tables.iter().enumerate() {
            let mut writer = Writer::new(&target, table, at).context(writing)?;
            let (source, rows) = match recode {
                true => (
                    &target,
                    recoded::copy(file, &target, table, || tick(done, total))?,
                ),
                false => (file, table.select()),
            };
            let tick = |rows| tick(done + rows, total);
            let found = compare(live, source, &rows, table, &mut writer, tick)?;
            if recode {
                recoded::forget(&target).context(writing)?;
            }
            done += found.kept + found.changed + found.added;
            cost += writer.cost();
            let sequence = sequence(file, table).context("cannot read the file")?;
            note(&target, table, &found, writer.cost(), sequence).context(writing)?;
            counts.push(found);
            sequences.push(sequence);
        }
        target.execute_batch("COMMIT").context(writing)?;
        if recode {
            target.execute_batch("VACUUM").context(writing)?;
        }
        drop(target);
        staged.remeasure()?;
        tick(done, total)?;
        Ok(Self {
            staged,
            tables: tables.to_vec(),
            counts,
            sequences,
            cost,
        })
    }

    /// Reads a difference that was kept. `staged` is the adopted file.
    pub(crate) fn open(staged: Staged) -> Result<Self> {
        let file = vfs::open(staged.path(), Purpose::Reading)?;
        let read = file.path().unwrap_or_default().to_owned();
        let of_hotswap = [("application_id", APPLICATION_ID), ("user_version", FORMAT)];
        for (pragma, expected) in of_hotswap {
            let found: i32 = file
                .query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))
                .on_path("cannot read", staged.path())?;
            if found != expected {
                return Err(BadFile::NoDifference { name: read }.into());
            }
        }
        let mut difference = Self {
            tables: Vec::new(),
            counts: Vec::new(),
            sequences: Vec::new(),
            cost: Cost::default(),
            staged,
        };
        let lines = lines(&file).on_path("cannot read", difference.staged.path())?;
        for (description, counts, cost, sequence) in lines {
            let table: Table = serde_json::from_str(&description)
                .map_err(|_| BadFile::NoDifference { name: read.clone() })?;
            difference.counts.push(Counts {
                table: table.name.clone(),
                ..counts
            });
            difference.cost += cost;
            difference.sequences.push(sequence);
            difference.tables.push(table);
        }
        Ok(difference)
    }

    /// Whether the tables have the same rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows() == 0
    }

    /// The counts of every table, in the order of the tables. Forward, rows are added and removed as it says; back, the
    /// other way round.
    pub(crate) fn counts(&self) -> &[Counts] {
        &self.counts
    }

    /// How many rows are written.
    pub(crate) fn rows(&self) -> u64 {
        self.counts.iter().map(Counts::rows).sum()
    }

    /// How much is written, at most.
    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }

    /// The tables.
    pub(crate) fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The file, to open it anew.
    #[cfg(test)]
    pub(super) fn into_staged(self) -> Staged {
        self.staged
    }
}

/// Returns whether a file with this schema is a difference, even if its header says otherwise.
pub(crate) fn is_difference(schema: &Schema) -> bool {
    schema.tables().any(|table| table.name == TABLES.as_bytes())
}

/// Begins the transaction that fills the file.
fn create(target: &Connection, live: &Connection, tables: &[Table]) -> rusqlite::Result<()> {
    let encoding: String = live.query_row("PRAGMA main.encoding", [], |row| row.get(0))?;
    let page_size: u32 = live.query_row("PRAGMA main.page_size", [], |row| row.get(0))?;
    target.execute_batch(&format!(
        "PRAGMA encoding = '{encoding}'; PRAGMA page_size = {page_size}; PRAGMA synchronous = OFF;
         PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}"
    ))?;
    // If it fails, the file is removed.
    target
        .query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))
        .optional()?;
    target.execute_batch(
        &format!("BEGIN; CREATE TABLE {TABLES} (position INTEGER PRIMARY KEY, description TEXT, added INTEGER, changed INTEGER,
                                       removed INTEGER, kept INTEGER, bytes INTEGER, entries INTEGER, sequence INTEGER)"),
    )?;
    for (at, table) in tables.iter().enumerate() {
        for set in ["old", "new"] {
            let places = table.places().map(|place| match table.by_rowid && place == "k0" {
                true => "k0 INTEGER PRIMARY KEY".into(),
                false => place,
            });
            // The first column, so that SQLite reads it without the rest of a long row.
            let columns = list(std::iter::once("how".to_owned()).chain(places));
            target.execute_batch(&format!(
                "CREATE TABLE {set}_{at} ({columns});
                 CREATE INDEX {set}_{at}_whole ON {set}_{at} (how) WHERE how IS NULL"
            ))?;
            if !table.by_rowid {
                let key = list((0..table.key.len()).map(|at| format!("k{at}")));
                target.execute_batch(&format!("CREATE INDEX {set}_{at}_key ON {set}_{at} ({key})"))?;
            }
        }
    }
    Ok(())
}

fn note(
    target: &Connection,
    table: &Table,
    found: &Counts,
    cost: Cost,
    sequence: Option<i64>,
) -> rusqlite::Result<()> {
    let description = serde_json::to_string(table).expect("a description has only texts and numbers");
    let Counts {
        added,
        changed,
        removed,
        kept,
        ..
    } = *found;
    let numbers = [added, changed, removed, kept, cost.bytes, cost.entries].map(|number| number as i64);
    let [added, changed, removed, kept, bytes, entries] = numbers;
    target.execute(
        &format!(
            "INSERT INTO {TABLES} (description, added, changed, removed, kept, bytes, entries, sequence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
        ),
        (
            description,
            added,
            changed,
            removed,
            kept,
            bytes,
            entries,
            sequence,
        ),
    )?;
    Ok(())
}

/// What is noted of a table: its description, the counts without its name, the cost and the sequence.
type Line = (String, Counts, Cost, Option<i64>);

fn lines(file: &Connection) -> rusqlite::Result<Vec<Line>> {
    let mut query = file.prepare(&format!(
        "SELECT description, added, changed, removed, kept, bytes, entries, sequence FROM {TABLES} ORDER BY position"
    ))?;
    let lines = query.query_map([], |row| {
        let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
        let counts = Counts {
            table: String::new(),
            added: number(1)?,
            changed: number(2)?,
            removed: number(3)?,
            kept: number(4)?,
        };
        let cost = Cost {
            bytes: number(5)?,
            entries: number(6)?,
        };
        Ok((row.get(0)?, counts, cost, row.get(7)?))
    })?;
    lines.collect()
}

fn count(file: &Connection, table: &Table) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM main.{}", quoted(&table.name));
    file.query_row(&sql, [], |row| row.get::<_, i64>(0))
        .map(|count| count as u64)
}

/// The number after which AUTOINCREMENT goes on.
fn sequence(connection: &Connection, table: &Table) -> rusqlite::Result<Option<i64>> {
    let exists = "SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence'";
    if connection.query_row(exists, [], |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let highest = "SELECT max(CAST(seq AS INTEGER)) FROM main.sqlite_sequence WHERE name = ?1 COLLATE NOCASE";
    connection.query_row(highest, [&table.name], |row| row.get(0))
}
