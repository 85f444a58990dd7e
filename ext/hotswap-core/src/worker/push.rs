//! A push: received, checked, swapped in.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::caller::Caller;
use super::fleet::Fleet;
use super::gently::gently;
use super::header::{DatabaseHeader, JOURNAL_BYTES};
use super::job::{Database, Job};
use super::judge;
use super::leftovers;
use super::live::{Live, Seized};
use super::mapping::mapped;
use super::preflight::refuse_what_cannot_be_renamed;
use super::schema::Schema;
use super::source::{changed, Source};
use super::space;
use super::staged::Staged;
use super::swap::Swap;
use crate::error::{Context, Error, Result};
use crate::protocol::{BodyReader, Message, Piece, Plan, Request};
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
    refuse_what_cannot_be_renamed(path)?;

    let mut staged = gently(|| receive(caller, request, path))?;
    caller.info(format_args!(
        "received {} bytes, running integrity check",
        staged.len()
    ));
    DatabaseHeader::judge(&staged.head()?, staged.len())?;

    let fleet = Fleet::command(path, job, caller)?;
    let mut live = Live::open(path)?;
    let schema_changes = {
        // Moved in, all of them: a connection may go to another thread, but not be shared with one.
        let (caller, staged, live) = (&mut *caller, &mut staged, &mut live);
        gently(move || {
            adapt(staged, path, live.as_ref())?;
            check(caller, staged, live.as_ref(), database, request)
        })?
    };

    caller.info("integrity check passed, acquiring swap lock");
    caller.status("Swapping database...");
    let seized = Swap {
        path,
        fleet,
        live,
        staged,
        schema_changes,
    }
    .run(job, caller)?;
    caller.info(format_args!("push complete: {}", database.label));
    Ok(Aftermath(seized))
}

fn sweep(path: &Path, caller: &mut Caller) {
    for name in leftovers::sweep(path) {
        caller.info(format_args!(
            "removed {}, left by a push that died",
            name.to_string_lossy()
        ));
    }
}

fn receive(caller: &mut Caller, request: &Request, path: &Path) -> Result<Staged> {
    let mut staged = Staged::create(path)?;
    if request.src.stdio {
        receive_stream(caller, &mut staged)?;
    } else {
        receive_file(caller, &mut staged, path)?;
    }
    Ok(staged)
}

fn receive_stream(caller: &mut Caller, staged: &mut Staged) -> Result<()> {
    caller.ask(Plan::SendStream)?;
    let mut received = 0;
    let mut checked_for = 0;
    let folder =
        File::open(staged.path().parent().unwrap_or(Path::new("/"))).context("cannot open the folder")?;
    let mut body = BodyReader::new(&mut caller.main);
    loop {
        let chunk = match body.receive()? {
            Piece::Chunk(chunk) => chunk,
            Piece::End => return Ok(()),
            Piece::Instead(_) => return Err(Error::Broken("the client gave up".into())),
        };
        if received >= checked_for {
            checked_for = received + 8 * 1024 * 1024;
            space::require(&folder, 8 * 1024 * 1024, "receiving the database")?;
        }
        staged.append(chunk)?;
        received += chunk.len() as u64;
    }
}

fn receive_file(caller: &mut Caller, staged: &mut Staged, live: &Path) -> Result<()> {
    caller.ask(Plan::SendFile)?;
    let (announced, sidecars) = match caller.main.receive()? {
        Some(Message::File { length, sidecars }) => (length, sidecars),
        _ => {
            return Err(Error::Broken(
                "the client went away before it sent the file".into(),
            ))
        }
    };
    let source = Source::take(caller.main.take_descriptor(), live)?;
    if source.length != announced {
        return Err(changed());
    }
    let folder =
        File::open(live.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", live)?;
    space::require(&folder, announced, "copying the database")?;

    staged.append_file(&source.file, announced, |done| {
        caller.progress("copying", done, announced);
        caller.check_presence()
    })?;
    let mut beside = Vec::new();
    for sidecar in sidecars {
        let file = Source::take(caller.main.take_descriptor(), live)?;
        file.copy_beside(staged.path(), sidecar)?;
        beside.push(file);
    }
    if staged.len() != announced || std::iter::once(&source).chain(&beside).any(Source::has_changed) {
        return Err(changed());
    }
    if beside.is_empty() {
        return Ok(());
    }
    caller.info("the source has a log of its own; its newest rows come along");
    merge_sidecars(staged)
}

/// Has SQLite bring a log or a hot journal into the file itself.
fn merge_sidecars(staged: &mut Staged) -> Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let merged = Connection::open_with_flags(staged.path(), flags).and_then(|connection| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.query_row("PRAGMA journal_mode=DELETE", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    });
    merged.map_err(|error| Error::Refused(format!("the source's log does not fit the source: {error}")))?;
    leftovers::sidecars(staged.path()).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    staged.remeasure()
}

/// Makes the staged file what the live one is: journalled the same way, of the same owner and mode. The last
/// writes to it, and durable when this returns.
fn adapt(staged: &mut Staged, path: &Path, live: Option<&Live>) -> Result<()> {
    let Some(live) = live else {
        return staged.sync();
    };
    // Converting it later would be a race between the application's first connections.
    let version = if live.is_wal() { 2 } else { 1 };
    staged.patch(&[version, version], JOURNAL_BYTES)?;
    staged.dress_like(&std::fs::metadata(path).on_path("cannot stat", path)?)
}

/// The checks, on the file as it will be renamed. Says whether the schema changes.
fn check(
    caller: &mut Caller,
    staged: &Staged,
    live: Option<&Live>,
    database: &Database,
    request: &Request,
) -> Result<bool> {
    let judging = judge::open_for_judging(staged.path(), &database.extensions)?;
    if !request.skip_integrity_check {
        let main = caller.main.as_fd().as_raw_fd();
        mapped(&judging, staged.len(), || {
            judge::check_integrity(&judging, move || !hung_up(main))
        })?;
    }
    let incoming = match Schema::read(&judging) {
        Ok(schema) => schema,
        Err(error) if request.skip_integrity_check && request.skip_schema_check => {
            caller.log(
                "warn",
                format_args!("the schema of the incoming file cannot be read: {error}"),
            );
            return Ok(true);
        }
        Err(error) => {
            return Err(Error::Refused(format!(
                "the schema of the file cannot be read: {error}"
            )))
        }
    };
    let Some(live) = live else {
        return Ok(true);
    };
    let current = match live.schema() {
        Ok(schema) => schema,
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
