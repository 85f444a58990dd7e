//! The database that is pulled, in one read transaction. The file that gets its rows is attached to it.

use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::place::Place;
use super::plan::Keep;
use super::table::{quoted, Table};
use crate::error::{is_of_the_machine, Context, Error, Refused, Result, Unredactable};
use crate::visible::{self, Shown};
use crate::worker::command::Command;
use crate::worker::deadline::Deadline;
use crate::worker::snapshot::Pages;
use crate::worker::sqlite::foreign::load_extensions;

/// What SQL calls the copy.
const COPY: &str = "hotswap_copy";
/// How many steps of SQLite pass between two looks at the progress.
const STEPS: i32 = 200_000;

/// How long connections try to pin the same state.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connection. It ends the transaction when it is dropped.
#[derive(Debug)]
pub(super) struct Origin {
    connection: Connection,
    deadline: Deadline,
    path: PathBuf,
    /// What messages call the copy.
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
    /// Opens the database at `path`, whose rows go to `copy`.
    pub(super) fn open(path: &Path, copy: &Place, command: &Command) -> Result<Self> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(path, flags).on_path("cannot open", path)?;
        let deadline = Deadline::watch(&connection, command.client, copy.staged())?;
        let origin = Self {
            connection,
            deadline,
            path: path.to_owned(),
            copy: copy.name().to_owned(),
        };
        load_extensions(&origin.connection, &command.database.extensions)?;
        let attached = origin.attach(&copy.uri()?);
        attached.map_err(|error| origin.unreadable(error))?;
        Ok(origin)
    }

    fn attach(&self, copy: &str) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.busy_timeout(PATIENCE)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
        connection.execute(&format!("ATTACH ?1 AS {COPY}"), [copy])?;
        // The copy is of no use if the worker dies.
        connection.execute_batch(&format!(
            "PRAGMA foreign_keys = OFF; PRAGMA {COPY}.journal_mode = OFF; PRAGMA {COPY}.synchronous = OFF; \
             PRAGMA {COPY}.cache_size = -8000"
        ))
    }

    /// Pins the committed state.
    pub(super) fn pin(&self) -> Result<()> {
        let begun = self
            .connection
            .execute_batch("BEGIN; SELECT count(*) FROM main.sqlite_schema");
        begun.map_err(|error| self.unreadable(error))
    }

    /// Pins the state that `other`, another connection to the same database, pins at the same time. Returns its pages,
    /// whose files stay open: closing them would drop the locks of both.
    pub(super) fn pin_with(&self, other: &Self) -> Result<ManuallyDrop<Pages>> {
        let since = Instant::now();
        // A writer that waits for `other` lets no further reader in.
        let set = self.connection.busy_timeout(Duration::ZERO);
        set.map_err(|error| self.unreadable(error))?;
        loop {
            let before = self.version();
            other.pin()?;
            let pages = ManuallyDrop::new(Pages::of(&other.connection, &self.path)?);
            let pinned = before.and_then(|before| {
                self.connection.execute_batch("BEGIN")?;
                Ok(before == self.version()?)
            });
            match pinned {
                Ok(true) => return Ok(pages),
                Err(error) if since.elapsed() > PATIENCE || !is_busy(&error) => {
                    return Err(self.unreadable(error));
                }
                _ => {}
            }
            // Another process has written in between.
            for one in [self, other] {
                if !one.connection.is_autocommit() {
                    one.finish_reading()?;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A number that changes when another connection commits.
    fn version(&self) -> rusqlite::Result<i64> {
        self.connection
            .query_row("PRAGMA main.data_version", [], |row| row.get(0))
    }

    fn finish_reading(&self) -> Result<()> {
        let ended = self.connection.execute_batch("ROLLBACK");
        ended.map_err(|error| self.unreadable(error))
    }

    /// The error for what cannot be read.
    pub(super) fn unreadable(&self, error: rusqlite::Error) -> Error {
        let read = Err::<(), _>(error).on_path("cannot read", &self.path);
        self.explain(read.expect_err("it is an error"))
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

    /// Calls `report` again and again while rows are copied.
    pub(super) fn report(&self, mut report: impl FnMut() + Send + 'static) -> Result<()> {
        let report = move || {
            report();
            false
        };
        let set = self.connection.progress_handler(STEPS, Some(report));
        set.context("cannot report the progress")
    }

    /// Copies the rows of `table` into a file that has the same table without rows.
    pub(super) fn transfer(&self, table: &Table, keep: &Keep) -> Result<()> {
        let copied = match keep {
            Keep::Nothing | Keep::Anew => Ok(()),
            Keep::All => self.transfer_all(table),
            Keep::Changed(_) => self.transfer_values(table, keep),
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

    fn transfer_all(&self, table: &Table) -> rusqlite::Result<()> {
        let connection = &self.connection;
        // What the database has, the copy gets, whether or not it was written under the constraints of today.
        connection.execute_batch("PRAGMA ignore_check_constraints = ON")?;
        let columns = table.columns(connection)?;
        // SQLite would give new rowids to these rows, and a full-text index may refer to the old ones.
        let loses_rowids =
            table.hidden_rowid(connection, &columns)?.is_some() && !table.has_index(connection)?;
        let name = quoted(&table.name);
        let all = format!("INSERT INTO {COPY}.{name} SELECT * FROM main.{name}");
        let all = match loses_rowids {
            true => None,
            // It cannot be compiled if SQLite cannot transfer the rows as they are, and the table has generated
            // columns.
            false => connection.prepare(&all).ok(),
        };
        match all {
            Some(mut all) => all.execute([]).map(drop),
            None => self.transfer_values(table, &Keep::All),
        }
    }

    fn transfer_values(&self, table: &Table, keep: &Keep) -> rusqlite::Result<()> {
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
                    "INSERT OR ABORT INTO {COPY}.{name} ({}) SELECT {} FROM main.{name}{scan}",
                    names.join(", "),
                    values.join(", ")
                ),
                [],
            )
            .map(drop)
    }

    /// Copies what SQLite keeps about the tables `all`, of which the copy has all rows, and `filled`, of which it has
    /// rows.
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

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}
