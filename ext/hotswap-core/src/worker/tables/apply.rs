//! Writes the rows of a difference into the live database, one by one with prepared statements.
//!
//! A changed row is updated, and only the columns that changed, so SQLite leaves the indexes of the others alone. On a
//! table of 800 MB with three indexes, that takes a fifth of the time of a delete and an insert, and a third of the
//! WAL. One statement for all rows (INSERT … SELECT, UPDATE … FROM) is slower, and could not be stopped when its time
//! is over.

use std::collections::HashMap;

use rusqlite::config::DbConfig;
use rusqlite::Connection;

use super::compare::{bits_of, columns_of};
use super::cursor::Cursor;
use super::difference::{Difference, Direction};
use super::sql::{list, parameters, quoted};
use super::table::Table;
use crate::error::{Context, Failed, Result};
use crate::worker::sqlite::vfs;

/// How many rows are written between two calls of `go_on`.
const STEP: u64 = 100;
/// The name of the attached file.
pub(super) const ATTACHED: &str = "hotswap_difference";
/// SQLite's cache while it writes, in KB. A page that has to leave the cache is written twice.
const CACHE: u32 = 32 * 1024;
/// How much of the difference file SQLite maps, in bytes. Reading it takes a fifth of the time otherwise.
const MAPPED: u64 = 1 << 31;

impl Difference {
    /// Prepares a connection for [`apply`](Self::apply), before its transaction begins: attaches the file, prepares
    /// every statement once, and turns off triggers and foreign keys. The connection serves nothing else afterwards.
    pub(crate) fn attach(&self, live: &Connection) -> Result<()> {
        let path = self.staged.path();
        // For reading only. Otherwise BEGIN IMMEDIATE would lock it as well, and a rollback journal of the live
        // database would name a super-journal.
        live.execute(&format!("ATTACH ?1 AS {ATTACHED}"), [vfs::immutable(path)])
            .on_path("cannot attach", path)?;
        let preparing = "cannot prepare the live database";
        // A CHECK may call a function that only the application has. The rows have passed it where they come from.
        live.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
            .and_then(|_| {
                live.execute_batch(&format!(
                    "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;
                     PRAGMA {ATTACHED}.mmap_size = {MAPPED}"
                ))
            })
            .context(preparing)?;
        for (at, table) in self.tables.iter().enumerate() {
            for direction in [Direction::Forward, Direction::Back] {
                Writing::new(live, table, at, direction)
                    .and_then(|writing| writing.prepare())
                    .context(format!("cannot write into the table {}", table.name))?;
            }
        }
        Ok(())
    }

    /// Gives SQLite the cache that [`apply`](Self::apply) needs. What the connection reads from then on fills the
    /// cache. After a commit of another process, SQLite reads the pages again, into the same memory.
    pub(crate) fn enlarge_cache(&self, live: &Connection) -> Result<()> {
        live.execute_batch(&format!("PRAGMA main.cache_size = -{CACHE}"))
            .context("cannot prepare the live database")
    }

    /// Detaches the file again, when no transaction is open.
    pub(crate) fn detach(&self, live: &Connection) -> Result<()> {
        live.execute_batch(&format!("DETACH {ATTACHED}"))
            .on_path("cannot detach", self.staged.path())
    }

    /// Writes the rows, within the transaction that the caller has begun and commits. Calls `go_on` often, with the
    /// part that is done. Returns the number of rows that it has written.
    pub(crate) fn apply(
        &self,
        live: &Connection,
        direction: Direction,
        mut go_on: impl FnMut(f64) -> Result<()>,
    ) -> Result<u64> {
        self.enlarge_cache(live)?;
        let mut written = 0;
        let most = self.rows().max(1) as f64;
        for (at, table) in self.tables.iter().enumerate() {
            let what = format!("cannot write into the table {}", table.name);
            let mut count = |result: rusqlite::Result<()>| {
                result.context(&what)?;
                written += 1;
                if written % STEP == 1 {
                    go_on((written as f64 / most).min(1.0))?;
                }
                Ok(())
            };
            let writing = Writing::new(live, table, at, direction).context(&what)?;
            writing.leave_searches(&mut count)?;
            writing.delete(&mut count)?;
            writing.update(&mut count)?;
            writing.insert(&mut count)?;
            writing.enter_searches(&mut count)?;
            if let Some(sequence) = self.sequences[at] {
                raise_sequence(live, table, sequence).context(&what)?;
            }
        }
        Ok(self.rows())
    }
}

/// The statements for one table.
struct Writing<'a> {
    live: &'a Connection,
    table: &'a Table,
    from: String,
    to: String,
}

/// A row was not where the comparison saw it.
fn moved(table: &Table) -> crate::error::Error {
    Failed::RowMoved {
        table: table.name.clone(),
    }
    .into()
}

type Count<'f> = &'f mut dyn FnMut(rusqlite::Result<()>) -> Result<()>;

impl<'a> Writing<'a> {
    fn new(
        live: &'a Connection,
        table: &'a Table,
        at: usize,
        direction: Direction,
    ) -> rusqlite::Result<Self> {
        let (from, to) = direction.sets();
        let set = |name: &str| format!("{ATTACHED}.{name}_{at}");
        Ok(Self {
            live,
            table,
            from: set(from),
            to: set(to),
        })
    }

    /// Prepares every statement, so that a missing function or collation is found before a request waits.
    fn prepare(&self) -> rusqlite::Result<()> {
        let all = (0..self.table.columns.len()).collect::<Vec<_>>();
        let mut statements = vec![self.deletion(), self.insertion()];
        if !all.is_empty() && self.table.updatable {
            statements.push(self.updating(&all));
        }
        for search in &self.table.searches {
            statements.extend(
                search
                    .delete(|name| self.table.place_of(name))
                    .map(|(sql, _)| sql),
            );
            statements.extend(
                search
                    .insert(|name| self.table.place_of(name))
                    .map(|(sql, _)| sql),
            );
        }
        statements
            .iter()
            .try_for_each(|sql| Cursor::prepare(self.live, sql).map(drop))
    }

    /// Takes the rows that go, and those that change, out of the full-text indexes.
    fn leave_searches(&self, count: Count<'_>) -> Result<()> {
        for (at, search) in self.table.searches.iter().enumerate() {
            let rows = self.seen_by(at, &search.columns);
            if let Some((sql, places)) = search.delete(|name| self.table.place_of(name)) {
                self.each(&self.from, &places, &rows, &sql, false, count)?;
            }
        }
        Ok(())
    }

    /// Puts the rows that come, and those that have changed, into the full-text indexes.
    fn enter_searches(&self, count: Count<'_>) -> Result<()> {
        for (at, search) in self.table.searches.iter().enumerate() {
            let rows = self.seen_by(at, &search.columns);
            if let Some((sql, places)) = search.insert(|name| self.table.place_of(name)) {
                self.each(&self.to, &places, &rows, &sql, false, count)?;
            }
        }
        Ok(())
    }

    fn seen_by(&self, search: usize, columns: &[String]) -> String {
        let bits = bits_of(columns, self.table);
        format!("f{search} AND (how IS NULL OR how & {bits})")
    }

    fn delete(&self, count: Count<'_>) -> Result<()> {
        let key: Vec<_> = self.keys().collect();
        self.each(&self.from, &key, "how IS NULL", &self.deletion(), true, count)
    }

    fn insert(&self, count: Count<'_>) -> Result<()> {
        let places: Vec<_> = self.written().collect();
        self.each(&self.to, &places, "how IS NULL", &self.insertion(), true, count)
    }

    /// Updates the columns that have changed. There are few sets of them, so each has its own statement.
    fn update(&self, count: Count<'_>) -> Result<()> {
        let what = || format!("cannot write into the table {}", self.table.name);
        let keys = self.table.key.len();
        let places = list(self.written().chain(["how".into()]));
        let mut rows = Cursor::prepare(
            self.live,
            &format!("SELECT {places} FROM {} WHERE how NOT NULL", self.to),
        )
        .context(what())?;
        let mut updates: HashMap<i64, Option<(Vec<usize>, Cursor<'_>)>> = HashMap::new();
        while rows.step().context(what())? {
            let bits = rows.number(keys + self.table.columns.len()).unwrap_or(0);
            let update = match updates.entry(bits) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(free) => {
                    let columns: Vec<_> = columns_of(bits, self.table).collect();
                    let prepared = match columns.is_empty() {
                        true => None,
                        false => {
                            let update =
                                Cursor::prepare(self.live, &self.updating(&columns)).context(what())?;
                            Some((columns, update))
                        }
                    };
                    free.insert(prepared)
                }
            };
            let Some((columns, update)) = update else { continue };
            let values = (0..keys).chain(columns.iter().map(|at| keys + at));
            let ran = values
                .enumerate()
                .try_for_each(|(at, column)| update.bind(at + 1, &rows, column))
                .and_then(|()| update.run());
            count(ran)?;
            if self.live.changes() != 1 {
                return Err(moved(self.table));
            }
        }
        Ok(())
    }

    /// Runs `sql` with these values of each of the rows.
    fn each(
        &self,
        set: &str,
        places: &[String],
        rows: &str,
        sql: &str,
        hits: bool,
        count: Count<'_>,
    ) -> Result<()> {
        let what = || format!("cannot write into the table {}", self.table.name);
        let select = format!("SELECT {} FROM {set} WHERE {rows}", list(places.iter().cloned()));
        let mut rows = Cursor::prepare(self.live, &select).context(what())?;
        let mut write = Cursor::prepare(self.live, sql).context(what())?;
        while rows.step().context(what())? {
            let ran = (0..places.len())
                .try_for_each(|at| write.bind(at + 1, &rows, at))
                .and_then(|()| write.run());
            count(ran)?;
            if hits && self.live.changes() != 1 {
                return Err(moved(self.table));
            }
        }
        Ok(())
    }

    fn keys(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.table.key.len()).map(|at| format!("k{at}"))
    }

    /// The places of the values that are written.
    fn written(&self) -> impl Iterator<Item = String> + '_ {
        self.keys()
            .chain((0..self.table.columns.len()).map(|at| format!("v{at}")))
    }

    fn deletion(&self) -> String {
        format!(
            "DELETE FROM main.{} WHERE {}",
            quoted(&self.table.name),
            self.table.where_key(1)
        )
    }

    /// `OR ABORT` beats what a constraint of the table says: a conflict would mean that another row has to go.
    fn insertion(&self) -> String {
        let key = self.table.key.iter().map(|key| quoted(&key.name));
        let columns = self.table.columns.iter().map(|column| quoted(&column.name));
        let width = self.table.key.len() + self.table.columns.len();
        format!(
            "INSERT OR ABORT INTO main.{} ({}) VALUES ({})",
            quoted(&self.table.name),
            list(key.chain(columns)),
            parameters(width)
        )
    }

    fn updating(&self, columns: &[usize]) -> String {
        let keys = self.table.key.len();
        let columns = columns.iter().enumerate();
        let set = columns.map(|(nth, at)| {
            let name = quoted(&self.table.columns[*at].name);
            format!("{name} = ?{}", keys + nth + 1)
        });
        format!(
            "UPDATE OR ABORT main.{} SET {} WHERE {}",
            quoted(&self.table.name),
            list(set),
            self.table.where_key(1)
        )
    }
}

/// The next row of the application gets a number that neither side has used.
fn raise_sequence(live: &Connection, table: &Table, sequence: i64) -> rusqlite::Result<()> {
    let known = "SELECT 1 FROM main.sqlite_sequence WHERE name = ?1 COLLATE NOCASE";
    let sql = match live.prepare(known)?.exists([&table.name])? {
        true => {
            "UPDATE main.sqlite_sequence SET seq = ?2 WHERE name = ?1 COLLATE NOCASE AND CAST(seq AS INTEGER) < ?2"
        }
        false => "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)",
    };
    live.prepare(sql)?.execute((&table.name, sequence)).map(drop)
}
