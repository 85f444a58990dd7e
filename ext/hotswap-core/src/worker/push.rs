//! A push: received, checked, swapped in.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use super::attention::Attention;
use super::caller::Caller;
use super::fleet::Fleet;
use super::gently::gently;
use super::header::{DatabaseHeader, JOURNAL_BYTES};
use super::in_place::{self, Overwriting, Why};
use super::job::{Database, Job};
use super::judge;
use super::leftovers;
use super::live::{Live, Seized};
use super::mapping::mapped;
use super::preflight::Obstacle;
use super::receive::receive;
use super::schema::Schema;
use super::staged::Staged;
use super::swap::Swap;
use crate::error::{is_of_the_machine, Error, Result};
use crate::protocol::{InPlace, Request};
use crate::signal::hung_up;

/// What remains to be done after the user has been told that it is over.
pub struct Aftermath(Option<Seized>);

impl Aftermath {
    /// Nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Keeps the replaced file closed until nobody can be harmed by it.
    pub fn linger(self) {
        if let Some(seized) = self.0 {
            seized.linger();
        }
    }
}

/// Pushes what the client sends into `database`.
pub fn run(caller: &mut Caller, job: &Job, database: &Database, request: &Request) -> Result<Aftermath> {
    let path = &*database.resolved();
    caller.info(format_args!(
        "push started: {} → {}",
        request.src.raw, database.label
    ));
    sweep(path, caller);
    let choice = request.in_place.unwrap_or(job.in_place);
    let obstacle = Obstacle::of(path)?;
    if let (InPlace::Never, Some(obstacle)) = (choice, obstacle) {
        return Err(obstacle.refusal(path));
    }

    let mut staged = gently(job, || receive(caller, request, path))?;
    caller.info(format_args!(
        "received {} bytes, running integrity check",
        staged.len()
    ));
    DatabaseHeader::judge(&staged.head()?, staged.len(), request.src.name())?;

    let mut fleet = Fleet::command(path, job, caller)?;
    let mut live = Live::open(path)?;
    let schema_changes = {
        // Moved in, all of them: a connection may go to another thread, but not be shared with one.
        let (caller, staged, live) = (&mut *caller, &mut staged, &mut live);
        gently(job, move || {
            adapt(staged, path, live.as_ref(), obstacle)?;
            check(caller, staged, live.as_ref(), database, request)
        })?
    };

    caller.info("integrity check passed, acquiring swap lock");
    caller.status("Swapping database...");
    let mut push = Push {
        caller,
        job,
        database,
        request,
        staged,
        fleet: &mut fleet,
        schema_changes,
    };
    let seized = match Why::foreseen(choice, obstacle, path) {
        Some(why) if live.is_some() => push.overwrite(live, &why, choice)?,
        _ => match push.replace(path, live) {
            Err(Error::Stranger { who, .. }) if choice == InPlace::Auto => {
                push.fleet.resume()?;
                push.overwrite(Live::open(path)?, &Why::Strangers(who), choice)?
            }
            replaced => replaced?,
        },
    };
    caller.info(format_args!("push complete: {}", database.label));
    Ok(Aftermath(seized))
}

/// A push whose file is there and checked.
struct Push<'a> {
    caller: &'a mut Caller,
    job: &'a Job,
    database: &'a Database,
    request: &'a Request,
    staged: Staged,
    fleet: &'a mut Fleet,
    schema_changes: bool,
}

impl Push<'_> {
    /// By a rename.
    fn replace(&mut self, path: &Path, live: Option<Live>) -> Result<Option<Seized>> {
        let swap = Swap {
            path,
            fleet: self.fleet,
            live,
            staged: &mut self.staged,
            schema_changes: self.schema_changes,
        };
        swap.run(self.job, self.caller)
    }

    /// In one transaction, into the file that is there.
    fn overwrite(&mut self, live: Option<Live>, why: &Why, choice: InPlace) -> Result<Option<Seized>> {
        let mut live = live.ok_or_else(|| Error::Busy("the live database was removed meanwhile".into()))?;
        let (staged, extensions) = (&mut self.staged, &self.database.extensions);
        let (caller, database, request) = (&mut *self.caller, self.database, self.request);
        let open = &mut live;
        gently(self.job, move || match in_place::fit(staged, open, extensions)? {
            true => check(caller, staged, Some(&*open), database, request).map(drop),
            false => Ok(()),
        })?;
        let overwriting = Overwriting {
            fleet: self.fleet,
            live,
            staged: &self.staged,
            schema_changes: self.schema_changes,
            why,
        };
        overwriting.run(choice, self.job, self.caller)?;
        Ok(None)
    }
}

fn sweep(path: &Path, caller: &mut Caller) {
    for name in leftovers::sweep(path) {
        caller.info(leftovers::removed(&name));
    }
}

/// Makes the staged file what the live one is: journalled the same way, and of the same owner and mode where it
/// is to take its place. Durable when this returns.
fn adapt(staged: &mut Staged, path: &Path, live: Option<&Live>, obstacle: Option<Obstacle>) -> Result<()> {
    let Some(live) = live else {
        return staged.sync();
    };
    // Converting it later would be a race between the application's first connections.
    let version = if live.is_wal() { 2 } else { 1 };
    staged.patch(&[version, version], JOURNAL_BYTES)?;
    if obstacle.is_some() {
        // Where only the owner of a file removes it, one that was given away would stay.
        return staged.sync();
    }
    staged.dress_like(path)
}

/// The checks, on the file as it will be renamed. Says whether the schema changes.
fn check(
    caller: &mut Caller,
    staged: &Staged,
    live: Option<&Live>,
    database: &Database,
    request: &Request,
) -> Result<bool> {
    let name = request.src.name();
    let main = caller.main.as_fd().as_raw_fd();
    let judging = judge::open_for_checking(staged.path(), &database.extensions)?;
    let attention = Attention::pay(&judging, staged.path().to_owned(), move || !hung_up(main))?;
    if !request.skip_integrity_check {
        mapped(&judging, staged.len(), || judge::check_integrity(&judging, name))?;
    }
    // Whatever is skipped: the application could not open such a file either.
    let incoming = Schema::read(&judging).map_err(|error| judge::unreadable(error, name))?;
    drop(attention);
    let Some(live) = live else {
        return Ok(true);
    };
    let current = match live.schema() {
        Ok(schema) => schema,
        Err(Error::Sqlite { what, source }) if is_of_the_machine(&source) => {
            return Err(Error::Sqlite { what, source })
        }
        Err(error @ Error::Sqlite { .. }) if request.skip_schema_check => {
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
    if !request.skip_schema_check && current != Schema::default() {
        judge::compare_schemas(&current, &incoming)?;
    }
    Ok(!current.means_the_same_as(&incoming))
}
