//! What a push receives: a file or a pipe that the client hands over, or a body on the connection.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::caller::Caller;
use super::leftovers;
use super::pipe::Pipe;
use super::source::{changed, Source};
use super::space;
use super::staged::Staged;
use crate::error::{Context, Error, Result};
use crate::protocol::{aborted, BodyReader, Message, Piece, Plan, Request, CHUNK};

/// How much is received between two looks at the disk and at the client, in bytes.
const STEP: u64 = 8 * 1024 * 1024;

/// Receives what the client pushes into a staged file beside `path`, the live database.
pub fn receive(caller: &mut Caller, request: &Request, path: &Path) -> Result<Staged> {
    let mut staged = Staged::create(path)?;
    if !request.src.stdio {
        receive_file(caller, &mut staged, path)?;
        return Ok(staged);
    }
    let Some(descriptor) = caller.main.take_descriptor() else {
        receive_stream(caller, &mut staged)?;
        return Ok(staged);
    };
    caller.ask(Plan::Wait)?;
    if is_regular(&descriptor)? {
        let source = Source::take(Some(descriptor), path)?;
        copy_file(caller, &mut staged, path, &source)?;
    } else {
        receive_pipe(caller, &mut staged, Pipe::take(descriptor)?)?;
    }
    Ok(staged)
}

fn is_regular(descriptor: &OwnedFd) -> Result<bool> {
    let status = nix::sys::stat::fstat(descriptor).context("cannot stat standard input")?;
    Ok(status.st_mode & libc::S_IFMT == libc::S_IFREG)
}

fn receive_pipe(caller: &mut Caller, staged: &mut Staged, mut pipe: Pipe) -> Result<()> {
    let mut room = Room::beside(staged)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        // Whoever ended the client may have ended the sender as well: then this is no end of the data.
        let bytes = match pipe.read(&mut buffer, &caller.main) {
            Err(Error::Gone(_)) => return Err(aborted()),
            Ok(_) if caller.main.peer_is_gone() => return Err(aborted()),
            read => read?,
        };
        if bytes == 0 {
            return Ok(());
        }
        room.require(staged.len())?;
        staged.append(&buffer[..bytes])?;
        caller.progress("sending", staged.len(), 0);
    }
}

fn receive_stream(caller: &mut Caller, staged: &mut Staged) -> Result<()> {
    caller.ask(Plan::SendStream)?;
    let mut room = Room::beside(staged)?;
    let mut body = BodyReader::new(&mut caller.main);
    loop {
        let chunk = match body.receive()? {
            Piece::Chunk(chunk) => chunk,
            Piece::End => return Ok(()),
            Piece::Instead(_) => return Err(Error::Broken("the client gave up".into())),
        };
        room.require(staged.len())?;
        staged.append(chunk)?;
    }
}

/// Room for a file of which nobody knows how long it will be.
struct Room {
    folder: File,
    enough_for: u64,
}

impl Room {
    fn beside(staged: &Staged) -> Result<Self> {
        let folder = staged.path().parent().unwrap_or(Path::new("/"));
        Ok(Self {
            folder: File::open(folder).on_path("cannot open", folder)?,
            enough_for: 0,
        })
    }

    /// Refuses to go on from `length` where the disk has no room for another step.
    fn require(&mut self, length: u64) -> Result<()> {
        if length < self.enough_for {
            return Ok(());
        }
        self.enough_for = length + STEP;
        space::require(&self.folder, STEP, "receiving the database")
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
    copy_file(caller, staged, live, &source)?;
    let mut beside = Vec::new();
    for sidecar in sidecars {
        let file = Source::take(caller.main.take_descriptor(), live)?;
        file.copy_beside(staged.path(), sidecar)?;
        beside.push(file);
    }
    // Again: what lies beside it may have been written into it meanwhile.
    if std::iter::once(&source).chain(&beside).any(Source::has_changed) {
        return Err(changed());
    }
    if beside.is_empty() {
        return Ok(());
    }
    caller.info("the source has a log of its own; its newest rows come along");
    merge_sidecars(staged)
}

fn copy_file(caller: &mut Caller, staged: &mut Staged, live: &Path, source: &Source) -> Result<()> {
    let folder =
        File::open(live.parent().unwrap_or(Path::new("/"))).on_path("cannot open the folder of", live)?;
    space::require(&folder, source.length, "copying the database")?;
    staged.append_file(&source.file, source.length, |done| {
        caller.progress("copying", done, source.length);
        caller.check_presence()
    })?;
    if staged.len() != source.length || source.has_changed() {
        return Err(changed());
    }
    Ok(())
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
