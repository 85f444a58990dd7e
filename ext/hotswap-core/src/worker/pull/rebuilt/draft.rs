//! A connection to the copy alone, which makes its tables, indexes, views and triggers.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Batch, Connection, ErrorCode};

use super::origin::Properties;
use super::place::Place;
use super::plan::{Keep, Plan};
use super::schema::{Object, Schema};
use super::table::{quoted, Kind, Table};
use crate::error::{in_words, is_of_the_machine, Context, Error, Refused, Result, Unredactable};
use crate::visible::{self, Shown};
use crate::worker::command::Command;
use crate::worker::deadline::Deadline;
use crate::worker::sqlite::foreign::load_extensions;

/// The connection.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    connection: Connection,
    deadline: Deadline,
    place: &'a Place,
}

impl<'a> Draft<'a> {
    /// Opens the copy.
    pub(super) fn open(place: &'a Place, command: &Command) -> Result<Self> {
        let connection = place.open()?;
        let deadline = Deadline::watch(&connection, command.client, place.staged())?;
        load_extensions(&connection, &command.database.extensions)?;
        let set_up = connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)
            .and_then(|_| connection.execute_batch("PRAGMA synchronous = OFF"));
        set_up.on_path("cannot open", place.name())?;
        Ok(Self {
            connection,
            deadline,
            place,
        })
    }

    /// Turns the journal off. If one of the following statements fails, the whole copy fails.
    pub(super) fn without_journal(self) -> Result<Self> {
        self.run("the copy", "PRAGMA journal_mode = OFF")?;
        Ok(self)
    }

    /// Makes the tables and views, and the indexes of tables that get their rows as they are.
    pub(super) fn lay_out(&self, schema: &Schema, plan: &Plan, properties: &Properties) -> Result<()> {
        let Properties {
            page_size,
            auto_vacuum,
            encoding,
            user_version,
            application_id,
            ..
        } = properties;
        self.run(
            "the copy",
            &format!(
                "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA encoding = '{encoding}'; \
                 PRAGMA user_version = {user_version}; PRAGMA application_id = {application_id}"
            ),
        )?;
        let of_all = |table: &&Table| *plan.of(table) == Keep::All;
        for table in &schema.tables {
            let is_made = match &table.kind {
                Kind::Ordinary => true,
                Kind::Part(_) => of_all(&table),
                Kind::Virtual { .. } => false,
            };
            if is_made {
                self.make(&table.name, &table.sql)?;
            }
        }
        self.make_all(&schema.views)?;
        for table in schema
            .tables
            .iter()
            .filter(|table| table.is_virtual() && !of_all(table))
        {
            self.make(&table.name, &table.sql)?;
        }
        self.make_indexes(schema, plan, false)?;
        if schema.has_statistics {
            // SQLite makes the table of statistics. There are no rows yet.
            self.run("the statistics", "ANALYZE")?;
        }
        Ok(())
    }

    /// Makes the indexes of tables whose rows are changed, if `changed`, or of all others. Indexes of parts come with
    /// the parts.
    pub(super) fn make_indexes(&self, schema: &Schema, plan: &Plan, changed: bool) -> Result<()> {
        let indexes = schema.indexes.iter().filter(|index| {
            let table = schema
                .tables
                .iter()
                .find(|table| table.name.eq_ignore_ascii_case(&index.table));
            table.is_some_and(|table| {
                let keep = plan.of(table);
                let is_there = !matches!(table.kind, Kind::Part(_)) || *keep == Keep::All;
                is_there && matches!(keep, Keep::Changed(_)) == changed
            })
        });
        for index in indexes {
            match changed {
                // The live table has this index, so it does not take the new values.
                true => self.make_or(
                    |why| Unredactable::BadValues {
                        table: visible::line(&index.table),
                        why,
                    },
                    &index.sql,
                )?,
                false => self.make(&index.name, &index.sql)?,
            }
        }
        Ok(())
    }

    /// Enters virtual tables whose parts have all rows. SQLite sees them when the file is opened again.
    pub(super) fn enter_virtual_tables(&self, schema: &Schema, plan: &Plan) -> Result<()> {
        let mut tables = schema
            .tables
            .iter()
            .filter(|table| table.is_virtual() && *plan.of(table) == Keep::All)
            .peekable();
        if tables.peek().is_none() {
            return Ok(());
        }
        self.run("the virtual tables", "PRAGMA writable_schema = ON")?;
        let sql =
            "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)";
        for table in tables {
            let entered = self.connection.execute(sql, [&table.name, &table.sql]);
            self.explain(&table.name, entered.map(drop))?;
        }
        Ok(())
    }

    /// Rebuilds the full-text indexes from what their tables have now.
    pub(super) fn index_anew(&self, schema: &Schema, plan: &Plan) -> Result<()> {
        for table in schema
            .tables
            .iter()
            .filter(|table| table.is_virtual() && *plan.of(table) == Keep::Anew)
        {
            self.tell(table, "rebuild")?;
        }
        Ok(())
    }

    /// Removes the words of deleted rows from the full-text indexes that come along as they are.
    pub(super) fn tidy_up(&self, schema: &Schema, plan: &Plan) -> Result<()> {
        let kept = |table: &&Table| table.is_full_text() && *plan.of(table) == Keep::All;
        let mut indexes = schema.tables.iter().filter(kept);
        indexes.try_for_each(|table| self.tell(table, "optimize"))
    }

    /// Does the same after statements that may have changed any table, and have told no index.
    pub(super) fn tidy_all_up(&self) -> Result<()> {
        let schema = self.explain("the copy", Schema::read(&self.connection))?;
        for table in schema.tables.iter().filter(|table| table.is_full_text()) {
            let content = table.content().filter(|content| schema.has_rows_of(content));
            self.tell(table, content.map_or("optimize", |_| "rebuild"))?;
        }
        Ok(())
    }

    /// Gives a full-text index a command.
    fn tell(&self, index: &Table, command: &str) -> Result<()> {
        let name = quoted(&index.name);
        let statement = |command| format!("INSERT INTO {name} ({name}) VALUES ('{command}')");
        let refusal = |why| Unredactable::BadIndex {
            table: visible::line(&index.name),
            why,
            repair: match index.content() {
                Some("") => format!("{}, and add its rows again", statement("delete-all")),
                _ => statement("rebuild"),
            },
        };
        self.explain_or(refusal, self.connection.execute_batch(&statement(command)))
    }

    /// Makes the triggers. From now on they fire.
    pub(super) fn make_triggers(&self, schema: &Schema) -> Result<()> {
        self.make_all(&schema.triggers)
    }

    /// Lets the statements that follow change only the copy, and add at most `bytes` to it.
    pub(super) fn confine(&self, bytes: u64) -> Result<()> {
        let number = |pragma: &str| {
            let asked = self.connection.query_row(pragma, [], |row| row.get::<_, i64>(0));
            self.explain("the copy", asked)
        };
        let more = i64::try_from(bytes).unwrap_or(i64::MAX) / number("PRAGMA page_size")?;
        let most = number("PRAGMA page_count")?
            .saturating_add(more)
            .min(u32::MAX.into());
        number(&format!("PRAGMA max_page_count = {most}"))?;
        let confined = self
            .connection
            .authorizer(Some(|context: AuthContext<'_>| match context.action {
                // VACUUM attaches a file without a name.
                AuthAction::Attach { filename: "" } => Authorization::Allow,
                AuthAction::Attach { .. } | AuthAction::Detach { .. } => Authorization::Deny,
                AuthAction::Pragma { pragma_name, .. }
                    if pragma_name.eq_ignore_ascii_case("max_page_count") =>
                {
                    Authorization::Deny
                }
                _ => Authorization::Allow,
            }));
        self.explain("the copy", confined)
    }

    /// Runs the statements of the file at `script`.
    pub(super) fn run_script(&self, script: &Path) -> Result<()> {
        let bad = |why: String| {
            Error::from(Refused::from(Unredactable::BadScript {
                script: script.to_owned(),
                why: visible::line(why),
            }))
        };
        let statements = std::fs::read_to_string(script).map_err(|error| bad(in_words(&error)))?;
        if statements.contains('\0') {
            return Err(bad("it has a NUL character, at which SQLite would end".into()));
        }
        let count = self.run_each(&statements);
        let count = count.map_err(|source| {
            let cause = match source.sqlite_error_code() {
                Some(ErrorCode::AuthorizationForStatementDenied) => bad(format!(
                    "{source}. Its statements can change only the copy, and attach no other file"
                )),
                Some(ErrorCode::DiskFull) => bad(
                    "the copy grows so far that the disk has no room for it and for the application".into(),
                ),
                _ => self.cause(source, bad),
            };
            self.deadline.explain(cause)
        })?;
        if count == 0 {
            return Err(bad("it has no statement".into()));
        }
        match self.connection.is_autocommit() {
            true => Ok(()),
            false => Err(bad("it begins a transaction and does not commit it".into())),
        }
    }

    /// Returns how many there are.
    fn run_each(&self, statements: &str) -> rusqlite::Result<usize> {
        let mut batch = Batch::new(&self.connection, statements);
        let mut count = 0;
        while let Some(mut statement) = batch.next()? {
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            count += 1;
        }
        Ok(count)
    }

    /// Writes everything that there is now into `target`, an empty file, and nothing else.
    pub(super) fn write_into(&self, target: &Place) -> Result<()> {
        let written = self.connection.execute("VACUUM INTO ?1", [target.uri()?]);
        written
            .map(drop)
            .context(format!("cannot write {}", target.name().shown()))
            .map_err(|error| self.deadline.explain(error))
    }

    fn make_all(&self, objects: &[Object]) -> Result<()> {
        objects
            .iter()
            .try_for_each(|object| self.make(&object.name, &object.sql))
    }

    fn make(&self, name: &str, sql: &str) -> Result<()> {
        self.make_or(|why| unmakeable(name, why), sql)
    }

    fn make_or(&self, refusal: impl FnOnce(String) -> Unredactable, sql: &str) -> Result<()> {
        // One statement and no more, also if the schema was edited by hand.
        let made = self.connection.execute(sql, []);
        self.explain_or(refusal, made.map(drop))
    }

    fn run(&self, what: &str, statements: &str) -> Result<()> {
        let run = self.connection.execute_batch(statements);
        self.explain(what, run)
    }

    fn explain<T>(&self, what: &str, made: rusqlite::Result<T>) -> Result<T> {
        self.explain_or(|why| unmakeable(what, why), made)
    }

    fn explain_or<T>(
        &self,
        refusal: impl FnOnce(String) -> Unredactable,
        made: rusqlite::Result<T>,
    ) -> Result<T> {
        let refusal = |why: String| Refused::from(refusal(visible::line(why))).into();
        made.map_err(|source| self.deadline.explain(self.cause(source, refusal)))
    }

    /// The error of the disk, or `refusal` with what SQLite says.
    fn cause(&self, source: rusqlite::Error, refusal: impl FnOnce(String) -> Error) -> Error {
        match is_of_the_machine(&source) {
            true => Error::sqlite(format!("cannot write {}", self.place.name().shown()), source),
            false => refusal(source.to_string()),
        }
    }
}

fn unmakeable(what: &str, why: String) -> Unredactable {
    Unredactable::Unmakeable {
        what: visible::line(what),
        why,
    }
}
