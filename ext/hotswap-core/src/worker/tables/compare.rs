//! Compares a table of two databases, row by row in the order of the keys.
//!
//! Only one row of each side is in memory. That the keys come in the same order on both sides decides only how much is
//! written: a row without a partner on the other side is removed or added. So the result is right even if SQLite orders
//! keys in a way that this module does not know.

use std::cmp::Ordering;
use std::ops::AddAssign;

use rusqlite::Connection;

use super::counts::Counts;
use super::cursor::Cursor;
use super::sql::parameters;
use super::table::Table;
use crate::error::{Context, Result};

/// How many rows are compared between two calls of `tick`.
const STEP: u64 = 1000;
/// The bits of a column: all columns from this one on share a bit.
const LAST_BIT: usize = 61;
/// The bit of what only full-text indexes see.
const DERIVED: i64 = 1 << 62;

/// Writes the two sets of one table.
pub(super) struct Writer<'c> {
    old: Cursor<'c>,
    new: Cursor<'c>,
    width: usize,
    cost: Cost,
}

/// How much has to be written, at most, in either direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// The bytes of the values.
    pub bytes: u64,
    /// The entries of the table and its indexes. The old and the new entry of a changed row count once: most of them
    /// are in the same page.
    pub entries: u64,
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.entries += other.entries;
    }
}

impl<'c> Writer<'c> {
    pub(super) fn new(target: &'c Connection, table: &Table, at: usize) -> rusqlite::Result<Self> {
        let width = table.width();
        let insert = |set: &str| {
            let (how, places) = (width + 1, parameters(width));
            let insert = format!("INSERT INTO {set}_{at} VALUES (?{how}, {places})");
            Cursor::prepare(target, &insert)
        };
        Ok(Self {
            old: insert("old")?,
            new: insert("new")?,
            width,
            cost: Cost::default(),
        })
    }

    pub(super) fn cost(&self) -> Cost {
        self.cost
    }

    fn goes(&mut self, row: &Cursor<'_>, table: &Table) -> rusqlite::Result<()> {
        let bytes = put(&mut self.old, row, self.width, None)?;
        self.count(bytes, None, table);
        Ok(())
    }

    fn comes(&mut self, row: &Cursor<'_>, table: &Table) -> rusqlite::Result<()> {
        let bytes = put(&mut self.new, row, self.width, None)?;
        self.count(bytes, None, table);
        Ok(())
    }

    fn changes(
        &mut self,
        old: &Cursor<'_>,
        new: &Cursor<'_>,
        how: Option<i64>,
        table: &Table,
    ) -> rusqlite::Result<()> {
        let before = put(&mut self.old, old, self.width, how)?;
        let after = put(&mut self.new, new, self.width, how)?;
        self.count(before.max(after), how, table);
        Ok(())
    }

    fn count(&mut self, bytes: u64, how: Option<i64>, table: &Table) {
        let indexes = match how {
            None => table.indexes,
            Some(bits) => {
                let columns = columns_of(bits, table);
                let all: u32 = columns.map(|at| table.columns[at].indexes).sum();
                all.min(table.indexes)
            }
        };
        self.cost.bytes += bytes;
        self.cost.entries += 1 + u64::from(indexes) + table.searches.len() as u64;
    }
}

fn put(into: &mut Cursor<'_>, row: &Cursor<'_>, width: usize, how: Option<i64>) -> rusqlite::Result<u64> {
    let mut bytes = 0;
    for column in 0..width {
        bytes += row.size(column);
        into.bind(column + 1, row, column)?;
    }
    into.bind_number(width + 1, how)?;
    into.run()?;
    Ok(bytes)
}

/// Compares one table with the `rows` that a statement reads from the file. `tick` gets the number of the file's rows
/// that are compared.
pub(super) fn compare(
    live: &Connection,
    file: &Connection,
    rows: &str,
    table: &Table,
    writer: &mut Writer<'_>,
    mut tick: impl FnMut(u64) -> Result<()>,
) -> Result<Counts> {
    let writing = "cannot write the difference";
    let (of_live, of_file) = (
        format!("cannot read the table {}", table.name),
        format!("cannot read the table {} of the file", table.name),
    );
    let mut here = Cursor::prepare(live, &table.select()).context(&of_live)?;
    let mut there = Cursor::prepare(file, rows).context(&of_file)?;
    let mut counts = Counts {
        table: table.name.clone(),
        ..Counts::default()
    };
    let mut has_here = here.step().context(&of_live)?;
    let mut has_there = there.step().context(&of_file)?;
    let mut steps = 0;
    while has_here || has_there {
        if steps % STEP == 0 {
            tick(counts.added + counts.changed + counts.kept)?;
        }
        steps += 1;
        let order = match (has_here, has_there) {
            (true, true) => order(&here, &there, table),
            (true, false) => Ordering::Less,
            _ => Ordering::Greater,
        };
        match order {
            Ordering::Less => {
                counts.removed += 1;
                writer.goes(&here, table).context(writing)?;
            }
            Ordering::Greater => {
                counts.added += 1;
                writer.comes(&there, table).context(writing)?;
            }
            Ordering::Equal => match changes(&here, &there, table) {
                Changes::None => counts.kept += 1,
                changes => {
                    counts.changed += 1;
                    writer
                        .changes(&here, &there, changes.bits(), table)
                        .context(writing)?;
                }
            },
        }
        if order != Ordering::Greater {
            has_here = here.step().context(&of_live)?;
        }
        if order != Ordering::Less {
            has_there = there.step().context(&of_file)?;
        }
    }
    Ok(counts)
}

fn order(here: &Cursor<'_>, there: &Cursor<'_>, table: &Table) -> Ordering {
    for (at, key) in table.key.iter().enumerate() {
        let order = here.order(at, there, at, key.collation);
        if order != Ordering::Equal {
            return if key.descending { order.reverse() } else { order };
        }
    }
    Ordering::Equal
}

/// How two rows with the same key differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Changes {
    None,
    /// These columns can be updated.
    Columns(i64),
    /// The row is deleted and inserted again.
    All,
}

impl Changes {
    fn bits(self) -> Option<i64> {
        match self {
            Self::Columns(bits) => Some(bits),
            _ => None,
        }
    }
}

fn changes(here: &Cursor<'_>, there: &Cursor<'_>, table: &Table) -> Changes {
    let keys = table.key.len();
    let differs = |at: usize| !here.is_same(at, there, at);
    let (mut bits, mut again) = (0, (0..keys).any(differs));
    for (at, column) in table.columns.iter().enumerate() {
        if differs(keys + at) {
            bits |= bit(at);
            again |= column.unique;
        }
    }
    let derived = (keys + table.columns.len()..table.width()).any(differs);
    match (bits, again) {
        (0, false) if derived => Changes::Columns(DERIVED),
        (0, false) => Changes::None,
        (bits, false) if table.updatable => Changes::Columns(bits | if derived { DERIVED } else { 0 }),
        _ => Changes::All,
    }
}

fn bit(column: usize) -> i64 {
    1 << column.min(LAST_BIT)
}

/// The bits of the changes that a full-text index with these columns sees.
pub(super) fn bits_of(names: &[String], table: &Table) -> i64 {
    let columns = table.columns.iter().enumerate();
    let seen = columns.filter(|(_, column)| names.iter().any(|name| name.eq_ignore_ascii_case(&column.name)));
    seen.fold(DERIVED, |bits, (at, _)| bits | bit(at))
}

/// The columns of an update.
pub(super) fn columns_of(bits: i64, table: &Table) -> impl Iterator<Item = usize> + '_ {
    (0..table.columns.len()).filter(move |at| bits & bit(*at) != 0)
}
