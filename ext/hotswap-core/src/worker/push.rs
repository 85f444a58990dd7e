//! A push: received, checked, swapped in.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
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
use super::schema::Schema;
use super::space;
use super::staged::Staged;
use super::swap::Swap;
use crate::error::{Context, Error, Result};
use crate::protocol::{BodyReader, Identity, Message, Piece, Plan, Request, Sidecar};
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

/// A rename that cannot work, or that would leave other names behind, is refused before anything is sent.
fn refuse_what_cannot_be_renamed(path: &Path) -> Result<()> {
    let Ok(live) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !live.is_file() {
        return Err(Error::Refused(format!(
            "{} is not a regular file",
            path.display()
        )));
    }
    if live.nlink() > 1 {
        return Err(Error::Refused(format!(
            "{} has {} names (hard links); replacing one would leave the others on the old database. Remove them first",
            path.display(),
            live.nlink()
        )));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    if mount_of(path)? != mount_of(folder)? {
        return Err(Error::Refused(format!(
            "{} is mounted as a single file, which cannot be replaced; mount its folder instead",
            path.display()
        )));
    }
    Ok(())
}

fn mount_of(path: &Path) -> Result<u64> {
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::Usage(format!("{} is no path", path.display())))?;
    // SAFETY: all fields of `statx` are integers; zero is a value of each.
    let mut answer: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the name is a C string and the answer outlives the call.
    let called = unsafe { libc::statx(libc::AT_FDCWD, name.as_ptr(), 0, libc::STATX_MNT_ID, &mut answer) };
    nix::errno::Errno::result(called).on_path("cannot stat", path)?;
    Ok(answer.stx_mnt_id)
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

fn changed() -> Error {
    Error::Refused(
        "the source was changed while it was being copied; stop its writer, or push a snapshot of it (sqlite3 SOURCE \".backup COPY\")"
            .into(),
    )
}

/// A file that the client handed over as a descriptor.
struct Source {
    file: File,
    length: u64,
    stamp: (u64, i64, i64, i64, i64),
}

impl Source {
    fn take(descriptor: Option<OwnedFd>, live: &Path) -> Result<Self> {
        let descriptor =
            descriptor.ok_or_else(|| Error::Broken("the client announced a file and sent none".into()))?;
        let file = File::from(descriptor);
        let metadata = file
            .metadata()
            .context("cannot stat the file that was handed over")?;
        if !metadata.is_file() {
            let kind = if metadata.file_type().is_fifo() {
                "a pipe"
            } else {
                "not a regular file"
            };
            return Err(Error::Refused(format!(
                "what was handed over is {kind}; use - and standard input for that"
            )));
        }
        if std::fs::metadata(live).is_ok_and(|live| Identity::of(&live) == Identity::of(&metadata)) {
            // Closing it would drop the locks that SQLite takes on the live file; it stays open until we end.
            std::mem::forget(file);
            return Err(Error::Usage("source and destination are the same file".into()));
        }
        let flags = nix::fcntl::fcntl(file.as_fd(), nix::fcntl::FcntlArg::F_GETFL)
            .context("cannot look at the descriptor")?;
        if flags & libc::O_ACCMODE == libc::O_WRONLY || flags & libc::O_PATH != 0 {
            return Err(Error::Broken(
                "the file was handed over without the right to read it".into(),
            ));
        }
        Ok(Self {
            length: metadata.len(),
            stamp: stamp(&metadata),
            file,
        })
    }

    fn has_changed(&self) -> bool {
        self.file
            .metadata()
            .map_or(true, |metadata| stamp(&metadata) != self.stamp)
    }

    fn copy_beside(&self, staged: &Path, sidecar: Sidecar) -> Result<()> {
        let mut name = staged.as_os_str().to_owned();
        name.push(sidecar.suffix());
        let path = Path::new(&name);
        let target = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .on_path("cannot create", path)?;
        let mut done = 0;
        while done < self.length {
            match super::staged::copy_range(&self.file, done, &target, done, self.length - done)
                .on_path("cannot copy into", path)?
            {
                0 => return Err(changed()),
                bytes => done += bytes,
            }
        }
        Ok(())
    }
}

fn stamp(metadata: &std::fs::Metadata) -> (u64, i64, i64, i64, i64) {
    (
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
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
        judge::check_integrity(&judging, move || !hung_up(main))?;
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
