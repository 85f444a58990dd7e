//! Orphans: rows whose foreign keys would point to nothing after the change.
//!
//! Rows that pointed to nothing before do not count. What the difference file alone can tell is found with the gates
//! open: the keys that go, those that come, and whether a foreign key needs a look at all. The statements that are left
//! run with the gates open and within the transaction. They look up what points to the keys that go: if the pointing
//! columns have an index, that takes as long as the difference is large.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::apply::ATTACHED;
use super::compare::bits_of;
use super::difference::{Difference, Direction};
use super::pointers::{label, pointers, Pointer};
use super::sql::{list, quoted};
use super::table::Table;
use crate::error::{Context, Result};
use crate::visible;

/// How many rows are shown.
const EXAMPLES: usize = 10;
/// The length of a shown value, in characters.
const VALUE: usize = 40;
const LOOKING: &str = "cannot look for rows that would point to nothing";

/// Rows that would point to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Orphans {
    /// The table of the rows, and the columns that point.
    pub table: String,
    pub columns: Vec<String>,
    /// The table that they point to.
    pub parent: String,
    pub count: u64,
    /// At most ten rows, each as text: `id 17 (article_id 4)`.
    pub examples: Vec<String>,
}

/// A foreign key by which rows could point to nothing after the change.
#[derive(Debug)]
pub(crate) struct Risk {
    pointer: Pointer,
    /// The statements that find the rows, with the names of the columns that identify them.
    queries: Vec<(String, Vec<String>)>,
}

impl Risk {
    /// The rows that would point to nothing after the change, and did not before. Works without a transaction, and
    /// within it before [`apply`](Difference::apply).
    pub(crate) fn orphans(&self, live: &Connection) -> Result<Option<Orphans>> {
        let mut orphans = Orphans {
            table: self.pointer.child.clone(),
            columns: self.pointer.from.clone(),
            parent: self.pointer.parent.clone(),
            count: 0,
            examples: Vec::new(),
        };
        for (sql, names) in &self.queries {
            collect(live, sql, names, &self.pointer.from, &mut orphans).context(LOOKING)?;
        }
        Ok((orphans.count > 0).then_some(orphans))
    }
}

impl Difference {
    /// The foreign keys by which rows could point to nothing, no matter what other processes write into the other
    /// tables. Needs [`attach`](Self::attach).
    pub(crate) fn risks(&self, live: &Connection, direction: Direction) -> Result<Vec<Risk>> {
        let mut risks = Vec::new();
        for (nth, pointer) in pointers(live).context(LOOKING)?.into_iter().enumerate() {
            let label = label(live, &pointer.child).context(LOOKING)?;
            let queries = self.queries(live, nth, &pointer, &label, direction);
            let queries = queries.context(LOOKING)?;
            risks.extend((!queries.is_empty()).then_some(Risk { pointer, queries }));
        }
        Ok(risks)
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.tables
            .iter()
            .position(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// The statements that can find rows.
    fn queries(
        &self,
        live: &Connection,
        nth: usize,
        pointer: &Pointer,
        label: &[String],
        direction: Direction,
    ) -> rusqlite::Result<Vec<(String, Vec<String>)>> {
        let (parent, child) = (self.position(&pointer.parent), self.position(&pointer.child));
        let keys = match parent {
            // If one of the columns is generated, the pointer is not followed.
            Some(at) => match places(&self.tables[at], &pointer.to) {
                Some(places) => Some(Keys::collect(live, nth, pointer, at, places, direction)?),
                None => return Ok(Vec::new()),
            },
            None => None,
        };
        let some_go = match &keys {
            Some(keys) => exists(live, &format!("SELECT 1 FROM {}", keys.gone))?,
            None => false,
        };
        let mut queries = Vec::new();
        if let (Some(keys), true) = (&keys, some_go) {
            let staying = self.staying(pointer, label, keys, child, direction);
            queries.push((staying, label.to_vec()));
        }
        if let Some(at) = child {
            let table = &self.tables[at];
            if let Some(pointing) = places(table, &pointer.from) {
                let coming = Coming::new(pointer, table, at, pointing, direction);
                if some_go || exists(live, &format!("SELECT 1 {}", coming.all()))? {
                    let names = table.key.iter().map(|key| key.name.clone());
                    queries.push((coming.missing(pointer, keys.as_ref()), names.collect()));
                }
            }
        }
        Ok(queries)
    }

    /// Finds rows that stay as they are, and point to a key that goes.
    fn staying(
        &self,
        pointer: &Pointer,
        label: &[String],
        keys: &Keys,
        child: Option<usize>,
        direction: Direction,
    ) -> String {
        let of_child = |name: &String| format!("c.{}", quoted(name));
        let pointing: Vec<_> = pointer.from.iter().map(of_child).collect();
        // Another collation than that of an index would keep SQLite from using it.
        let compared = pointing.iter().zip(&pointer.ways).map(|(column, way)| {
            match way.collation.eq_ignore_ascii_case("BINARY") {
                true => column.clone(),
                false => format!("{column} COLLATE {}", quoted(&way.collation)),
            }
        });
        let but_written = child.map_or(String::new(), |at| {
            let (from, _) = direction.sets();
            let keys = self.tables[at].key.iter().enumerate();
            let same = keys.map(|(nth, key)| format!("w.k{nth} = c.{}", quoted(&key.name)));
            let same = same.collect::<Vec<_>>().join(" AND ");
            format!(" AND NOT EXISTS (SELECT 1 FROM {ATTACHED}.{from}_{at} AS w WHERE {same})")
        });
        format!(
            "SELECT {}, {} FROM main.{} AS c WHERE ({}) IN (SELECT * FROM {}) AND {}{but_written}",
            list(label.iter().map(of_child)),
            list(pointing.iter().cloned()),
            quoted(&pointer.child),
            list(compared),
            keys.gone,
            is_missing(pointer, Some(keys), &pointing),
        )
    }
}

/// The keys of a parent that go and do not come again, and those that come and were not there before: two temporary
/// tables.
struct Keys {
    gone: String,
    come: String,
}

impl Keys {
    /// Collects them from the difference file. Their columns compare values as those of the parent do.
    fn collect(
        live: &Connection,
        nth: usize,
        pointer: &Pointer,
        parent: usize,
        places: Vec<String>,
        direction: Direction,
    ) -> rusqlite::Result<Self> {
        let (from, to) = direction.sets();
        let columns = pointer.ways.iter().enumerate();
        let columns = list(columns.map(|(at, way)| way.column(&format!("c{at}"))));
        let index = list((0..places.len()).map(|at| format!("c{at}")));
        let collated = places.iter().zip(&pointer.ways);
        let collated =
            list(collated.map(|(place, way)| format!("{place} COLLATE {}", quoted(&way.collation))));
        let fill = |name: &str, with: &str, without: &str| {
            live.execute_batch(&format!(
                "DROP TABLE IF EXISTS temp.{name}; CREATE TABLE temp.{name} ({columns});
                 INSERT INTO temp.{name} SELECT {collated} FROM {ATTACHED}.{with}_{parent}
                   EXCEPT SELECT {collated} FROM {ATTACHED}.{without}_{parent};
                 CREATE INDEX temp.{name}_key ON {name} ({index})"
            ))
        };
        let (gone, come) = (format!("hotswap_gone_{nth}"), format!("hotswap_come_{nth}"));
        fill(&gone, from, to)?;
        fill(&come, to, from)?;
        Ok(Self {
            gone: format!("temp.{gone}"),
            come: format!("temp.{come}"),
        })
    }
}

/// Rows that come, or change, and may point to a key that is not there.
struct Coming {
    /// The rows, and their pointing columns.
    rows: String,
    pointing: Vec<String>,
    label: String,
    /// Holds for rows that point to something.
    point: String,
    /// Holds for rows that pointed to something else before, or were not there.
    changed: String,
}

impl Coming {
    fn new(pointer: &Pointer, table: &Table, at: usize, pointing: Vec<String>, direction: Direction) -> Self {
        let (from, to) = direction.sets();
        let keys = (0..table.key.len()).map(|at| format!("k{at}"));
        let unchanged = keys
            .clone()
            .map(|key| format!("w.{key} = n.{key}"))
            .chain(pointing.iter().map(|place| format!("w.{place} IS n.{place}")));
        let bits = bits_of(&pointer.from, table);
        let changed = format!(
            "(n.how IS NULL OR n.how & {bits}) AND NOT EXISTS (SELECT 1 FROM {ATTACHED}.{from}_{at} AS w WHERE {})",
            unchanged.collect::<Vec<_>>().join(" AND ")
        );
        let point = pointing.iter().map(|place| format!("n.{place} NOT NULL"));
        Self {
            rows: format!("{ATTACHED}.{to}_{at} AS n"),
            label: list(keys.map(|key| format!("n.{key}"))),
            point: point.collect::<Vec<_>>().join(" AND "),
            pointing: pointing.iter().map(|place| format!("n.{place}")).collect(),
            changed,
        }
    }

    fn all(&self) -> String {
        format!("FROM {} WHERE {} AND {}", self.rows, self.point, self.changed)
    }

    fn missing(&self, pointer: &Pointer, keys: Option<&Keys>) -> String {
        let Self {
            rows,
            pointing,
            label,
            point,
            changed,
        } = self;
        // A row that pointed to a key that goes did not point to nothing before.
        let goes = keys.map_or(String::new(), |keys| format!(" OR {}", has(&keys.gone, pointing)));
        format!(
            "SELECT {label}, {} FROM {rows} WHERE {point} AND ({changed}{goes}) AND {}",
            list(pointing.iter().cloned()),
            is_missing(pointer, keys, pointing)
        )
    }
}

/// A condition: after the change, the parent does not have these values.
fn is_missing(pointer: &Pointer, keys: Option<&Keys>, values: &[String]) -> String {
    let there = pointer.to.iter().zip(values);
    let there = there.map(|(column, value)| format!("p.{} = +{value}", quoted(column)));
    let there = format!(
        "EXISTS (SELECT 1 FROM main.{} AS p WHERE {})",
        quoted(&pointer.parent),
        there.collect::<Vec<_>>().join(" AND ")
    );
    match keys {
        None => format!("NOT {there}"),
        Some(Keys { gone, come }) => {
            format!(
                "(NOT {there} OR {}) AND NOT {}",
                has(gone, values),
                has(come, values)
            )
        }
    }
}

/// A condition: the table of keys has these values. The sign takes their own way to compare away from them.
fn has(keys: &str, values: &[String]) -> String {
    let same = values.iter().enumerate();
    let same = same.map(|(at, value)| format!("g.c{at} = +{value}"));
    format!(
        "EXISTS (SELECT 1 FROM {keys} AS g WHERE {})",
        same.collect::<Vec<_>>().join(" AND ")
    )
}

fn exists(live: &Connection, rows: &str) -> rusqlite::Result<bool> {
    live.prepare(rows)?.exists([])
}

/// The names of columns in a difference file. `None` if one of them is generated.
fn places(table: &Table, columns: &[String]) -> Option<Vec<String>> {
    columns.iter().map(|column| table.place_of(column)).collect()
}

fn collect(
    live: &Connection,
    sql: &str,
    label: &[String],
    from: &[String],
    orphans: &mut Orphans,
) -> rusqlite::Result<()> {
    let mut query = live.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        orphans.count += 1;
        if orphans.examples.len() < EXAMPLES {
            let own = shown(row, label, 0)?;
            let pointing = shown(row, from, label.len())?;
            orphans.examples.push(format!("{own} ({pointing})"));
        }
    }
    Ok(())
}

/// `id 17`
fn shown(row: &Row<'_>, names: &[String], first: usize) -> rusqlite::Result<String> {
    let mut parts = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let value = match row.get_ref(first + at)? {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => visible::line(text),
            ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
        };
        let value: String = value.chars().take(VALUE).collect();
        parts.push(format!("{} {value}", visible::line(name)));
    }
    Ok(parts.join(", "))
}
