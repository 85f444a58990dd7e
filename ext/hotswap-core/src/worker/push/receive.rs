//! What a push receives: a file or a pipe that the client hands over, or a body on the connection.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rusqlite::{ffi, Connection, ErrorCode};

use super::room::{self, Operation};
use super::source::{changed, Source};
use crate::error::{is_of_the_machine, BadFile, Context, Error, Gone, Result};
use crate::protocol::{BodyReader, Message, Piece, Plan, CHUNK};
use crate::sidecar::sidecars;
use crate::sidecar::Sidecar;
use crate::visible;
use crate::worker::client::{gave_up, Client};
use crate::worker::command::Command;
use crate::worker::disk::pipe::Pipe;
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::admission::no_place_beside;
use crate::worker::live::checkpoint;
use crate::worker::sqlite::checksums;
use crate::worker::sqlite::foreign::Foreign;
use crate::worker::sqlite::header::{too_long, DatabaseHeader};
use crate::worker::sqlite::journal;
use crate::worker::sqlite::vfs::Purpose;

/// How much is received between two checks of the disk and the client, in bytes.
const STEP: u64 = 8 * 1024 * 1024;
/// The length of a database header, in bytes.
const HEADER: u64 = 100;

/// Receives what the client pushes, into a staged file next to the live database.
pub(crate) fn receive(command: &Command) -> Result<Staged> {
    let live = &*command.path;
    let create = match command.request.tables {
        // Its tables are compared, and then it is removed.
        Some(_) => Staged::create_temporary,
        None => Staged::create,
    };
    let mut staged = create(live).map_err(|error| no_place_beside(live, error))?;
    receive_into(&mut staged, command)?;
    Ok(staged)
}

fn receive_into(staged: &mut Staged, command: &Command) -> Result<()> {
    let Command { client, request, .. } = command;
    if !request.src.stdio {
        return receive_file(command, staged);
    }
    let Some(descriptor) = client.main.take_descriptor() else {
        return receive_stream(client, Arriving::into(staged, command)?);
    };
    if is_regular(&descriptor)? {
        // The client hands the file over again, with the files next to it.
        drop(descriptor);
        return receive_file(command, staged);
    }
    client.ask(Plan::Wait)?;
    let arriving = Arriving::into(staged, command)?;
    receive_pipe(client, arriving, Pipe::take(descriptor)?)
}

/// Whether the descriptor is a regular file, and not a pipe.
pub(crate) fn is_regular(descriptor: &OwnedFd) -> Result<bool> {
    let status = nix::sys::stat::fstat(descriptor).context("cannot stat the descriptor from the client")?;
    Ok(status.st_mode & libc::S_IFMT == libc::S_IFREG)
}

fn receive_pipe(client: &Client, mut arriving: Arriving<'_>, mut pipe: Pipe) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        // The signal that ended the client may have ended the sender as well. Then this is not the end of the data.
        let bytes = match pipe.read(&mut buffer, &client.main) {
            Err(error) if error.is_gone() => return Err(Gone::Sender.into()),
            Ok(_) if client.main.peer_is_gone() => return Err(Gone::Sender.into()),
            read => read?,
        };
        if bytes == 0 {
            return Ok(());
        }
        arriving.take(&buffer[..bytes])?;
        client.progress("sending", arriving.staged.len(), 0);
    }
}

fn receive_stream(client: &Client, mut arriving: Arriving<'_>) -> Result<()> {
    client.ask(Plan::SendStream)?;
    let mut body = BodyReader::new(&client.main);
    loop {
        let chunk = match body.receive()? {
            Piece::Chunk(chunk) => chunk,
            Piece::End => return Ok(()),
            Piece::Instead(other) => return Err(gave_up(Some(other))),
        };
        arriving.take(chunk)?;
        client.progress("sending", arriving.staged.len(), 0);
    }
}

/// A file of unknown length. It is refused as soon as its first bytes show that it cannot be a database or does not
/// fit.
struct Arriving<'a> {
    command: &'a Command<'a>,
    staged: &'a mut Staged,
    /// What the user calls the file.
    name: &'a str,
    folder: File,
    enough_for: u64,
    header: Option<DatabaseHeader>,
}

impl<'a> Arriving<'a> {
    fn into(staged: &'a mut Staged, command: &'a Command<'a>) -> Result<Self> {
        let name = command.request.src.name();
        let folder = staged.path().parent().unwrap_or(Path::new("/"));
        Ok(Self {
            command,
            folder: File::open(folder).on_path("cannot open", folder)?,
            staged,
            name,
            enough_for: 0,
            header: None,
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if self.staged.len() >= self.enough_for {
            self.enough_for = self.staged.len() + STEP;
            room::require(
                &self.folder,
                STEP,
                "receiving the database",
                self.command,
                Operation::Free,
            )?;
        }
        self.staged.append(bytes)?;
        if self.header.is_none() && self.staged.len() >= HEADER {
            let header = DatabaseHeader::judge_head(&self.staged.head()?, self.name)?;
            let rest = header.announced().unwrap_or(0).saturating_sub(self.staged.len());
            room::require(
                &self.folder,
                rest,
                "the rest of the database",
                self.command,
                Operation::Free,
            )?;
            self.header = Some(header);
        }
        match self.header.and_then(|header| header.announced()) {
            Some(announced) if self.staged.len() > announced => Err(too_long(self.name, announced).into()),
            _ => Ok(()),
        }
    }
}

fn receive_file(command: &Command, staged: &mut Staged) -> Result<()> {
    let (client, live, name) = (command.client, &*command.path, command.request.src.name());
    client.ask(Plan::SendFile)?;
    let (announced, sidecars, stamps) = match client.main.receive()? {
        Some(Message::File {
            length,
            sidecars,
            stamps,
        }) => (length, sidecars, stamps),
        other => return Err(gave_up(other)),
    };
    let mut stamps = stamps.into_iter();
    let source = Source::take(client.main.take_descriptor(), live, stamps.next())?;
    if source.length != announced {
        return Err(changed());
    }
    source.require_no_writer(name)?;
    if sidecars.is_empty() {
        return copy_alone(command, staged, &source);
    }
    let mut beside = Vec::new();
    for sidecar in sidecars {
        let file = Source::take(client.main.take_descriptor(), live, stamps.next())?;
        beside.push((sidecar, file));
    }
    // The WAL is copied, and its content then goes into the file as well.
    let logs: u64 = beside.iter().map(|(_, file)| file.length).sum();
    require_room(command, source.length + 2 * logs)?;
    copy(client, staged, &source, name)?;
    checksums::refuse(staged.path(), name)?;
    for (sidecar, file) in &beside {
        let copied = file.copy_beside(staged.path(), *sidecar, || client.check_presence())?;
        let of_several =
            journal::is_of_several_databases(&copied).context("cannot read the source's journal")?;
        if *sidecar == Sidecar::Journal && of_several {
            return Err(of_several_databases(name));
        }
    }
    // Checked again, because the files next to the source may have been written into it in the meantime.
    let mut sources = std::iter::once(&source).chain(beside.iter().map(|(_, file)| file));
    if sources.any(Source::has_changed) {
        return Err(changed());
    }
    client.info("the source has a WAL or a journal; its newest rows are included");
    merge_sidecars(staged, client)
}

fn of_several_databases(name: &str) -> Error {
    BadFile::JournalOfSeveral { name: name.into() }.into()
}

/// Copies a file that has no other files next to it.
fn copy_alone(command: &Command, staged: &mut Staged, source: &Source) -> Result<()> {
    let name = command.request.src.name();
    DatabaseHeader::judge(&source.head()?, source.length, name)?;
    require_room(command, source.length)?;
    copy(command.client, staged, source, name)
}

fn require_room(command: &Command, bytes: u64) -> Result<()> {
    let live = &*command.path;
    let folder =
        File::open(live.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", live)?;
    room::require(&folder, bytes, "copying the database", command, Operation::Free)
}

fn copy(client: &Client, staged: &mut Staged, source: &Source, name: &str) -> Result<()> {
    staged.append_file(&source.file, source.length, |done| {
        client.progress("copying", done, source.length);
        client.check_presence()
    })?;
    if staged.len() != source.length || source.has_changed() {
        return Err(changed());
    }
    source.require_no_writer(name)
}

/// Makes SQLite move a WAL or a hot journal into the file, as it would when it opens the file the next time.
fn merge_sidecars(staged: &mut Staged, client: &Client) -> Result<()> {
    let merging = Foreign::open(staged.path(), Purpose::Merging, &[], client)?;
    merge(&merging)
        .map_err(|error| match is_of_the_machine(&error) {
            true => Error::sqlite("cannot merge the -wal or -journal of the source", error),
            false => {
                let why = visible::line(error.to_string());
                let name = "the source".into();
                BadFile::BadLog { name, why }.into()
            }
        })
        .map_err(|error| merging.explain(error))?;
    drop(merging);
    sidecars(staged.path()).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
    staged.remeasure()
}

/// No statement here reads the schema, because reading it may take for ever.
fn merge(merging: &Connection) -> rusqlite::Result<()> {
    // Set before the first read, so that the WAL has no index on disk, which another program could have put there.
    merging.query_row("PRAGMA locking_mode=EXCLUSIVE", [], |_| Ok(()))?;
    match merging.execute_batch("BEGIN IMMEDIATE; ROLLBACK") {
        // The check of the header reports what kind of file this is.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => return Ok(()),
        begun => begun?,
    }
    match checkpoint(merging, ffi::SQLITE_CHECKPOINT_TRUNCATE) {
        ffi::SQLITE_OK => Ok(()),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}
