//! The checks that a push has to pass.

mod contents;
#[cfg(test)]
mod hostile_files;
mod integrity;
mod lost_jobs;
mod lost_rows;
mod schemas;
pub(super) mod seen;
mod without_views;

use std::sync::Arc;

use rusqlite::Connection;

use crate::error::{is_of_the_machine, BadFile, Context, Error, Failed, Refused, Result};
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::deadline::Deadline;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::schema::Schema;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::vfs::Purpose;

use contents::{environment, table_with_rows};
use lost_rows::Side;
use seen::Seen;

/// The checks that one push asks for.
#[derive(Clone, Copy)]
pub(super) struct Check<'a>(&'a Command<'a>);

/// The result for a file that has passed.
pub(super) struct Passed {
    /// What the file was compared with. `None` if there is no live database, or if it cannot be read.
    pub seen: Option<Seen>,
    /// Whether the push changes the schema.
    pub schema_changes: bool,
    /// The warnings for the user.
    pub warnings: Vec<String>,
    /// How the schemas differ; empty if they do not. `None` if they were not compared.
    pub schema_difference: Option<String>,
}

impl<'a> Check<'a> {
    /// The checks that the command of a push asks for.
    pub(super) fn of(command: &'a Command<'a>) -> Self {
        Self(command)
    }

    /// Runs all checks on a file whose header does not ask for WAL mode.
    pub(super) fn run(&self, staged: &Staged, live: Option<&Live>) -> Result<Passed> {
        // Opens the file for writing. On a read-only connection `PRAGMA integrity_check` does not report rows that
        // violate a CHECK constraint.
        let extensions = &self.0.database.extensions;
        let judging = Foreign::open(staged.path(), Purpose::Changing, extensions, self.0.client)?;
        let incoming = self.judge(&judging).map_err(|error| judging.explain(error))?;
        let Some(live) = live else {
            return Ok(Passed::alone());
        };
        // The live database may be damaged, too, and reading its schema may take for ever.
        let deadline = Deadline::watch(live.connection(), self.0.client, Some(staged.path()))?;
        self.beside(live, &judging, &incoming)
            .map_err(|error| deadline.explain(error))
    }

    /// Runs the checks that need only the file, whose header does not ask for WAL mode. Returns its schema.
    pub(super) fn alone(&self, staged: &Staged) -> Result<Schema> {
        let extensions = &self.0.database.extensions;
        let judging = Foreign::open(staged.path(), Purpose::Changing, extensions, self.0.client)?;
        self.judge(&judging).map_err(|error| judging.explain(error))
    }

    /// The same for a file of which only some tables are pushed. Returns what it saw of the live database.
    pub(super) fn beside_other_tables(&self, staged: &Staged, live: &Live) -> Result<Seen> {
        self.alone(staged)?;
        self.see(staged, live)
    }

    /// What it sees of the live database, if that has the `schema` of the version.
    pub(super) fn beside_version(&self, schema: &Schema, staged: &Staged, live: &Live) -> Option<Seen> {
        let seen = self.see(staged, live).ok()?;
        seen.schema.is_written_like(schema).then_some(seen)
    }

    fn see(&self, staged: &Staged, live: &Live) -> Result<Seen> {
        let deadline = Deadline::watch(live.connection(), self.0.client, Some(staged.path()))?;
        let schema = live.schema(&self.0.database.extensions);
        Ok(Seen {
            identity: live.identity(),
            schema: schema.map_err(|error| deadline.explain(error))?,
            without_rows: false,
            last_job: None,
            late_jobs: Arc::default(),
        })
    }

    /// Reads the schema of a file that needs no other check.
    pub(super) fn schema(&self, staged: &Staged) -> Result<Schema> {
        let extensions = &self.0.database.extensions;
        let reading = Foreign::open(staged.path(), Purpose::Reading, extensions, self.0.client)?;
        let schema = Schema::read(&reading);
        schema.map_err(|error| reading.explain(schemas::unreadable(error, self.0.request.src.name())))
    }

    /// Compares the file with the live database.
    fn beside(&self, live: &Live, judging: &Connection, incoming: &Schema) -> Result<Passed> {
        let Some(current) = self.schema_of(live)? else {
            return Ok(Passed::alone());
        };
        let mut without_rows = false;
        // The application has not filled an empty database yet, so there is nothing to preserve.
        if !self.0.request.skip_schema_check && !current.is_empty() {
            schemas::compare(
                &current,
                incoming,
                self.0.request.src.name(),
                &self.0.database.label,
            )?;
            without_rows = self.brings_no_rows(live, &current, judging, incoming)?;
        }
        let side = |connection, schema| Side { connection, schema };
        if let Some(limit) = self.0.max_shrink() {
            let (name, label) = (self.0.request.src.name(), &self.0.database.label);
            let (old, new) = (side(live.connection(), &current), side(judging, incoming));
            lost_rows::require_within(limit, old, new, name, label)?;
        }
        let last_job = lost_jobs::last(live.connection());
        Ok(Passed {
            schema_changes: !current.is_written_like(incoming),
            warnings: self.warnings(live, judging, &current, incoming, last_job),
            schema_difference: self.0.request.dry_run.then(|| difference(&current, incoming)),
            seen: Some(Seen {
                identity: live.identity(),
                schema: current,
                without_rows,
                last_job,
                late_jobs: Arc::default(),
            }),
        })
    }

    /// Runs the checks that need the file alone. Returns its schema.
    fn judge(&self, judging: &Foreign) -> Result<Schema> {
        let name = self.0.request.src.name();
        schemas::require_reasonable(judging, name)?;
        if !self.0.request.skip_integrity_check {
            integrity::check_integrity(judging, name, progress(self.0.client)?)?;
        }
        // Runs even if the user skips the other checks: the application could not open such a file either.
        Schema::read(judging).map_err(|error| schemas::unreadable(error, name))
    }

    /// The schema of the live database. `None` if it cannot be read and the user skips the comparison.
    fn schema_of(&self, live: &Live) -> Result<Option<Schema>> {
        match live.schema(&self.0.database.extensions) {
            Ok(schema) => Ok(Some(schema)),
            Err(Error::Failed(Failed::Sqlite { what, source })) if is_of_the_machine(&source) => {
                Err(Error::sqlite(what, source))
            }
            Err(error @ Error::Failed(Failed::Sqlite { .. })) if self.0.request.skip_schema_check => {
                self.0.client.log(
                    "warn",
                    format_args!("replacing the live database without comparing schemas: {error}"),
                );
                Ok(None)
            }
            Err(error @ Error::Failed(Failed::Sqlite { .. })) => Err(Refused::LiveSchemaIsDamaged {
                reason: error.to_string(),
            }
            .into()),
            Err(error) => Err(error),
        }
    }

    /// Whether the file has no rows at all. Refuses such a file if the live database has rows.
    fn brings_no_rows(
        &self,
        live: &Live,
        current: &Schema,
        judging: &Connection,
        incoming: &Schema,
    ) -> Result<bool> {
        if table_with_rows(judging, incoming, true).is_some() {
            return Ok(false);
        }
        let Some(table) = table_with_rows(live.connection(), current, false) else {
            return Ok(true);
        };
        Err(BadFile::NoRows {
            name: self.0.request.src.name().into(),
            database: self.0.database.label.clone(),
            table,
        }
        .into())
    }

    fn warnings(
        &self,
        live: &Live,
        judging: &Connection,
        current: &Schema,
        incoming: &Schema,
        last_job: Option<i64>,
    ) -> Vec<String> {
        let name = self.0.request.src.name();
        let foreign = match (environment(live.connection()), environment(judging)) {
            (Some(own), Some(other)) if own != other => Some(format!(
                "{name} comes from the {other} environment. Afterwards, run bin/rails db:environment:set RAILS_ENV={own}"
            )),
            _ => None,
        };
        let unreadable = (current.is_utf8() && !incoming.is_utf8()).then(|| {
            format!(
                "the schema of {name} contains text that is not UTF-8. Active Record cannot use those tables"
            )
        });
        let lost = last_job.and_then(|last| lost_jobs::lost(live.connection(), judging, last));
        let side = |connection, schema| Side { connection, schema };
        let emptied = lost_rows::emptied(side(live.connection(), current), side(judging, incoming));
        [foreign, unreadable, lost, emptied]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// How the schemas differ, for a report.
fn difference(live: &Schema, incoming: &Schema) -> String {
    let mismatch = live.mismatch(incoming);
    mismatch.map_or_else(String::new, |mismatch| {
        format!("{}\n{}", mismatch.statements(), mismatch.names())
    })
}

/// Returns a callback that reports the progress of the check. Once, it also tells the user that the check waits for a
/// processor.
fn progress(client: &Client) -> Result<impl FnMut() + Send + 'static> {
    let user = client
        .user
        .try_clone()
        .context("cannot use the client's socket")?;
    let mut said = false;
    Ok(move || {
        if user.progress("checking", 0, 0) && !said {
            said = true;
            user.status("Other programs keep every processor busy. The check takes longer.");
        }
    })
}

impl Passed {
    /// The result if there is no live database to compare with.
    pub(super) fn alone() -> Self {
        Self {
            seen: None,
            schema_changes: true,
            warnings: Vec::new(),
            schema_difference: None,
        }
    }
}
