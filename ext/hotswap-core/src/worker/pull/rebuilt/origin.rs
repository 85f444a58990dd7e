//! The database that is pulled, in one read transaction, with the files attached that get its rows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::plan::Keep;
use super::table::{quoted, Table};
use crate::error::{is_of_the_machine, Context, Error, Refused, Result, Unredactable};
use crate::visible::{self, Shown};
use crate::worker::command::Command;
use crate::worker::deadline::Deadline;
use crate::worker::sqlite::foreign::load_extensions;

/// What SQL calls the copy.
const COPY: &str = "hotswap_copy";
/// What SQL calls the file of full-text indexes.
const INDEXES: &str = "hotswap_indexes";

/// Where rows go.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Copy,
    /// The file in which full-text indexes forget the words of deleted rows.
    Indexes,
}

impl Target {
    fn name(self) -> &'static str {
        match self {
            Self::Copy => COPY,
            Self::Indexes => INDEXES,
        }
    }
}

/// How many steps of SQLite pass between two looks at the progress.
const STEPS: i32 = 200_000;

/// The connection. It ends the transaction when it is dropped.
#[derive(Debug)]
pub(super) struct Origin {
    connection: Connection,
    deadline: Deadline,
    copy: PathBuf,
}

/// What the header of a database says, besides its content.
#[derive(Debug)]
pub(super) struct Properties {
    pub page_size: i64,
    pub auto_vacuum: i64,
    pub encoding: String,
    pub user_version: i64,
    pub application_id: i64,
    pub is_wal: bool,
}

impl Origin {
    /// Pins the committed state of the database at `path`. `copy` and `indexes` are files of a [`Draft`](super::Draft).
    pub(super) fn open(path: &Path, copy: &Path, indexes: Option<&Path>, command: &Command) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).on_path("cannot open", path)?;
        let deadline = Deadline::watch(&connection, command.client, Some(copy))?;
        let origin = Self {
            connection,
            deadline,
            copy: copy.to_owned(),
        };
        load_extensions(&origin.connection, &command.database.extensions)?;
        origin
            .begin(path, indexes)
            .map_err(|error| origin.deadline.explain(error))?;
        Ok(origin)
    }

    fn begin(&self, path: &Path, indexes: Option<&Path>) -> Result<()> {
        let reading = format!("cannot read {}", path.shown());
        let name = |file: &'_ Path| {
            let name = file.to_str().map(str::to_owned);
            name.ok_or_else(|| {
                Refused::from(Unredactable::NameIsNotUtf8 {
                    database: path.to_owned(),
                })
            })
        };
        let mut files = vec![(COPY, name(&self.copy)?)];
        if let Some(indexes) = indexes {
            files.push((INDEXES, name(indexes)?));
        }
        let connection = &self.connection;
        let set_up = || -> rusqlite::Result<()> {
            connection.busy_timeout(Duration::from_secs(5))?;
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
            for (called, name) in files {
                connection.execute(&format!("ATTACH ?1 AS {called}"), [name])?;
                // The copy is of no use if the worker dies.
                connection.execute_batch(&format!(
                    "PRAGMA {called}.journal_mode = OFF; PRAGMA {called}.synchronous = OFF; \
                     PRAGMA {called}.cache_size = -8000"
                ))?;
            }
            connection
                .execute_batch("PRAGMA foreign_keys = OFF; BEGIN; SELECT count(*) FROM main.sqlite_schema")
        };
        set_up().context(reading)
    }

    /// The connection, to read what it has pinned.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Replaces `error`, of a statement of this connection, by the reason if the deadline has ended the statement.
    pub(super) fn explain(&self, error: Error) -> Error {
        self.deadline.explain(error)
    }

    /// What the header says.
    pub(super) fn properties(&self) -> rusqlite::Result<Properties> {
        let number = |pragma: &str| {
            let pragma = format!("PRAGMA main.{pragma}");
            self.connection.query_row(&pragma, [], |row| row.get::<_, i64>(0))
        };
        let text = |pragma: &str| {
            let pragma = format!("PRAGMA main.{pragma}");
            self.connection
                .query_row(&pragma, [], |row| row.get::<_, String>(0))
        };
        Ok(Properties {
            page_size: number("page_size")?,
            auto_vacuum: number("auto_vacuum")?,
            encoding: text("encoding")?,
            user_version: number("user_version")?,
            application_id: number("application_id")?,
            is_wal: text("journal_mode")? == "wal",
        })
    }

    /// Reports how much of the copy is written, of about `total` bytes.
    pub(super) fn report_progress(&self, command: &Command, total: u64) -> Result<()> {
        let user = command
            .client
            .user
            .try_clone()
            .context("cannot report the progress")?;
        let copy = self.copy.clone();
        let report = move || {
            let done = std::fs::metadata(&copy).map_or(0, |metadata| metadata.len());
            user.progress("copying", done.min(total), total);
            false
        };
        let set = self.connection.progress_handler(STEPS, Some(report));
        set.context("cannot report the progress")
    }

    /// Copies the rows of `table` into a file that has the same table without rows.
    pub(super) fn transfer(&self, table: &Table, keep: &Keep, target: Target) -> Result<()> {
        let copied = match keep {
            Keep::Nothing | Keep::Anew => Ok(()),
            Keep::All => self.transfer_all(table, target),
            Keep::Changed(_) => self.transfer_values(table, keep, target),
        };
        copied.map_err(|source| {
            let error = match (keep, is_of_the_machine(&source)) {
                (Keep::Changed(_), false) => Refused::from(Unredactable::BadValues {
                    table: table.name.clone(),
                    why: visible::line(source.to_string()),
                })
                .into(),
                _ => Error::sqlite(
                    format!(
                        "cannot copy the table {} into {}",
                        visible::line(&table.name),
                        self.copy.shown()
                    ),
                    source,
                ),
            };
            self.explain(error)
        })
    }

    fn transfer_all(&self, table: &Table, target: Target) -> rusqlite::Result<()> {
        let connection = &self.connection;
        // What the database has, the copy gets, whether or not it was written under the constraints of today.
        connection.execute_batch("PRAGMA ignore_check_constraints = ON")?;
        let columns = table.columns(connection)?;
        // SQLite would give new rowids to these rows, and a full-text index may refer to the old ones.
        let loses_rowids =
            table.hidden_rowid(connection, &columns)?.is_some() && !table.has_index(connection)?;
        let name = quoted(&table.name);
        let all = format!("INSERT INTO {}.{name} SELECT * FROM main.{name}", target.name());
        let all = match loses_rowids {
            true => None,
            // It cannot be compiled if SQLite cannot transfer the rows as they are, and the table has generated columns.
            false => connection.prepare(&all).ok(),
        };
        match all {
            Some(mut all) => all.execute([]).map(drop),
            None => self.transfer_values(table, &Keep::All, target),
        }
    }

    fn transfer_values(&self, table: &Table, keep: &Keep, target: Target) -> rusqlite::Result<()> {
        let connection = &self.connection;
        let is_changed = *keep != Keep::All;
        let ignored = if is_changed { "OFF" } else { "ON" };
        connection.execute_batch(&format!("PRAGMA ignore_check_constraints = {ignored}"))?;
        let columns = table.columns(connection)?;
        let written: Vec<_> = columns.iter().filter(|column| !column.is_generated).collect();
        let mut names: Vec<String> = written.iter().map(|column| quoted(&column.name)).collect();
        let mut values: Vec<String> = written
            .iter()
            .map(|column| match keep {
                // A comment at its end must not reach the rest of the statement.
                Keep::Changed(changed) if changed.contains_key(&column.name) => {
                    format!("({}\n)", changed[&column.name])
                }
                _ => quoted(&column.name),
            })
            .collect();
        if let Some(rowid) = table.hidden_rowid(connection, &columns)? {
            names.push(rowid.into());
            values.push(rowid.into());
        }
        let name = quoted(&table.name);
        // In the order of the rows, and not in that of an index that has all the columns.
        let scan = if table.is_virtual() { "" } else { " NOT INDEXED" };
        // Like every other conflict, one that the table's own ON CONFLICT would settle must not cost rows.
        connection
            .execute(
                &format!(
                    "INSERT OR ABORT INTO {}.{name} ({}) SELECT {} FROM main.{name}{scan}",
                    target.name(),
                    names.join(", "),
                    values.join(", ")
                ),
                [],
            )
            .map(drop)
    }

    /// Copies what SQLite keeps about the tables `all`, of which the copy has all rows, and `filled`, of which it has rows.
    pub(super) fn transfer_statistics(&self, all: &[&str], filled: &[&str]) -> Result<()> {
        let connection = &self.connection;
        let in_both = |table: &str| {
            let sql = format!(
                "SELECT (SELECT count(*) FROM main.sqlite_schema WHERE name = ?1) AND (SELECT count(*) FROM {COPY}.sqlite_schema WHERE name = ?1)"
            );
            connection.query_row(&sql, [table], |row| row.get::<_, bool>(0))
        };
        let copy = || -> rusqlite::Result<()> {
            if in_both("sqlite_stat1")? {
                // SQLite has entered some tables without rows.
                connection.execute(&format!("DELETE FROM {COPY}.sqlite_stat1"), [])?;
                let sql =
                    format!("INSERT INTO {COPY}.sqlite_stat1 SELECT * FROM main.sqlite_stat1 WHERE tbl = ?1");
                let mut insert = connection.prepare(&sql)?;
                all.iter()
                    .try_for_each(|table| insert.execute([table]).map(drop))?;
            }
            if in_both("sqlite_sequence")? {
                connection.execute(&format!("DELETE FROM {COPY}.sqlite_sequence"), [])?;
                let sql = format!(
                    "INSERT INTO {COPY}.sqlite_sequence SELECT * FROM main.sqlite_sequence WHERE name = ?1"
                );
                let mut insert = connection.prepare(&sql)?;
                filled
                    .iter()
                    .try_for_each(|table| insert.execute([table]).map(drop))?;
            }
            Ok(())
        };
        copy()
            .context(format!("cannot write {}", self.copy.shown()))
            .map_err(|error| self.explain(error))
    }

    /// Completes the copy, and releases the database.
    pub(super) fn finish(self) -> Result<()> {
        let committed = self.connection.execute_batch("COMMIT");
        committed
            .context(format!("cannot write {}", self.copy.shown()))
            .map_err(|error| self.explain(error))
    }
}
