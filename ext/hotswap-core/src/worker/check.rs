//! The checks that a push has to pass.

use super::attention::Attention;
use super::caller::Caller;
use super::foreign::Foreign;
use super::job::Database;
use super::jobs;
use super::judge;
use super::live::Live;
use super::schema::Schema;
use super::staged::Staged;
use super::vfs::Purpose;
use crate::error::{is_of_the_machine, Error, Result};
use crate::protocol::Request;

/// What of them one push asks for.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    database: &'a Database,
    request: &'a Request,
}

/// What is known of a file that has passed.
pub struct Passed {
    /// Whether it changes the schema.
    pub schema_changes: bool,
    /// What its user should hear of.
    pub warning: Option<String>,
}

impl<'a> Check<'a> {
    /// For one push into `database`.
    pub fn of(database: &'a Database, request: &'a Request) -> Self {
        Self { database, request }
    }

    /// All of them, on a file whose header asks for no write-ahead log.
    pub fn run(&self, staged: &Staged, live: Option<&Live>, caller: &mut Caller) -> Result<Passed> {
        // Only a connection that may write knows of CHECK constraints: to one that only reads, SQLite's check says nothing
        // of the rows that break them.
        let extensions = &self.database.extensions;
        let judging = Foreign::open(staged.path(), Purpose::Changing, extensions, caller)?;
        let incoming = self.judge(&judging).map_err(|error| judging.explain(error))?;
        let Some(live) = live else {
            return Ok(Passed {
                schema_changes: true,
                warning: None,
            });
        };
        // It may be damaged, and its schema have no end.
        let attention = Attention::pay(live.connection(), caller, Some(staged.path()))?;
        let warning = jobs::lost(live.connection(), &judging);
        drop(judging);
        let schema_changes = self
            .compare(&incoming, live, caller)
            .map_err(|error| attention.explain(error))?;
        Ok(Passed {
            schema_changes,
            warning,
        })
    }

    /// What needs the file alone. Answers its schema.
    fn judge(&self, judging: &Foreign) -> Result<Schema> {
        let name = self.request.src.name();
        judge::require_reasonable_schema(judging, name)?;
        if !self.request.skip_integrity_check {
            judge::check_integrity(judging, name)?;
        }
        // Whatever is skipped: the application could not open such a file either.
        Schema::read(judging).map_err(|error| judge::unreadable(error, name))
    }

    /// Whether the schema changes.
    fn compare(&self, incoming: &Schema, live: &Live, caller: &mut Caller) -> Result<bool> {
        let current = match live.schema() {
            Ok(schema) => schema,
            Err(Error::Sqlite { what, source }) if is_of_the_machine(&source) => {
                return Err(Error::Sqlite { what, source })
            }
            Err(error @ Error::Sqlite { .. }) if self.request.skip_schema_check => {
                caller.log("warn", format_args!("the live database is replaced unseen: {error}"));
                return Ok(true);
            }
            Err(error @ Error::Sqlite { .. }) => {
                return Err(Error::Refused(format!(
                    "{error}. The incoming schema cannot be compared with it; pass --skip-schema-check to replace the \
                     damaged database all the same"
                )))
            }
            Err(error) => return Err(error),
        };
        // An empty database is one that the application has not filled yet; there is nothing to keep.
        if !self.request.skip_schema_check && current != Schema::default() {
            judge::compare_schemas(&current, incoming)?;
        }
        Ok(!current.means_the_same_as(incoming))
    }
}
