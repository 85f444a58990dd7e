//! The checks that a push has to pass.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::attention::Attention;
use super::caller::Caller;
use super::job::Database;
use super::jobs;
use super::judge;
use super::live::Live;
use super::schema::Schema;
use super::staged::Staged;
use crate::error::{is_of_the_machine, Error, Result};
use crate::protocol::Request;
use crate::signal::hung_up;

/// What of them one push asks for, and who waits for it.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    database: &'a Database,
    request: &'a Request,
    client: RawFd,
}

/// What is known of a file that has passed.
pub struct Passed {
    /// Whether it changes the schema.
    pub schema_changes: bool,
    /// What its user should hear of.
    pub warning: Option<String>,
}

impl<'a> Check<'a> {
    /// For as long as `caller` has its connection.
    pub fn of(database: &'a Database, request: &'a Request, caller: &Caller) -> Self {
        Self {
            database,
            request,
            client: caller.main.as_fd().as_raw_fd(),
        }
    }

    /// All of them, on the file as it will be renamed.
    pub fn run(&self, staged: &Staged, live: Option<&Live>, caller: &mut Caller) -> Result<Passed> {
        let (name, client) = (self.request.src.name(), self.client);
        let judging = judge::open_for_checking(staged.path(), &self.database.extensions)?;
        let attention = Attention::pay(&judging, staged.path().to_owned(), move || !hung_up(client))?;
        if !self.request.skip_integrity_check {
            judge::check_integrity(&judging, name)?;
        }
        // Whatever is skipped: the application could not open such a file either.
        let incoming = Schema::read(&judging).map_err(|error| judge::unreadable(error, name))?;
        let warning = live.and_then(|live| jobs::lost(live.connection(), &judging));
        drop(attention);
        let schema_changes = match live {
            Some(live) => self.compare(&incoming, live, caller)?,
            None => true,
        };
        Ok(Passed {
            schema_changes,
            warning,
        })
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
