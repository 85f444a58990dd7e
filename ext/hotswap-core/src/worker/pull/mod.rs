//! A pull: one snapshot, into a file of the client's or to its standard output.

mod counted;
mod output;
mod rebuilt;
mod spool;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::Whence;

use crate::content_id::ContentId;
use crate::error::{Busy, Context, Error, Protocol, Refused, Result, Usage};
use crate::previous;
use crate::protocol::{Figures, Message, Plan};
use crate::redaction_rules::PullKind;
use crate::sidecar::sidecars;
use crate::sys::backup_disk;
use crate::sys::identity::Identity;
use crate::worker::client::{gave_up, Client};
use crate::worker::command::Command;
use crate::worker::disk::space::{self, Growth};
use crate::worker::disk::staged::Staged;
use crate::worker::fleet::pull_lock::PullLock;
use crate::worker::fleet::watchdog::Watchdog;
use crate::worker::push::receive::is_regular;
use crate::worker::push::some_tables::is_difference;
use crate::worker::snapshot::{identity_alongside, identity_of, Hashes, Snapshot};
use crate::worker::sqlite::checksums;
use crate::worker::sqlite::locks;

use output::Output;
use rebuilt::Built;
use spool::Spool;

/// How long a pull of a version waits for the worker that replaced it, at most.
const LINGERING: Duration = Duration::from_secs(2);

/// Pulls a snapshot of the database, or a previous version of it, to the client's destination.
pub(super) fn run(command: &Command, version: Option<u32>) -> Result<Figures> {
    let Command {
        client,
        request,
        database,
        path,
        ..
    } = command;
    let version = version
        .map(|number| previous::require(path, number, &database.label))
        .transpose()?;
    if let Some(version) = &version {
        refuse_difference(version, &database.label)?;
    }
    let source = version.as_ref().unwrap_or(path);
    let label = match version {
        Some(_) => &request.src.raw,
        None => &database.label,
    };
    client.info(format_args!("pull started: {} → {}", label, request.dst.raw));
    checksums::refuse(source, label)?;
    let Taken { length, identity } = if request.dst.stdio {
        match client.main.take_descriptor() {
            Some(descriptor) if is_regular(&descriptor)? => {
                redirect(command, source, &File::from(descriptor))?
            }
            pipe => send(command, source, pipe)?,
        }
    } else {
        client.ask(Plan::ReceiveFile)?;
        let target = target(client)?;
        write(command, source, &target, &request.dst.raw)?
    };
    let end = client.end();
    client.info(format_args!("pull complete: {label} ({length} bytes), {end}"));
    Ok(Figures {
        command: "pull".into(),
        database: database.label.clone(),
        bytes: length,
        identity,
        ..Figures::default()
    })
}

/// Refuses a version that is only the difference that a push of some tables has left.
fn refuse_difference(version: &Path, database: &str) -> Result<()> {
    match is_difference(version)? {
        true => Err(Refused::VersionIsDifference {
            version: version.to_owned(),
            database: database.into(),
        }
        .into()),
        false => Ok(()),
    }
}

/// What a pull has copied.
struct Taken {
    length: u64,
    identity: Option<ContentId>,
}

/// A snapshot, and what it needs. Fields are dropped in this order: the database is closed before the lock is released.
struct Pinned {
    snapshot: Snapshot,
    /// A snapshot of a copy that was built for this pull: the copy.
    _rebuilt: Option<Staged>,
    /// A snapshot of the database: the lock that protects it.
    lock: Option<PullLock>,
}

/// What a pull can copy, or has built.
enum Ready {
    Pinned(Box<Pinned>),
    /// The client's file is the copy. These hashes of it are known.
    Built(Hashes),
}

impl Pinned {
    /// Pins the database or its previous version, whichever `source` is. A push moves the versions, so this keeps
    /// pushes away in both cases. If the copy has to be built, this builds it in `target`, the client's file, where
    /// that is possible.
    fn take(command: &Command, source: &Path, target: Option<&File>) -> Result<Ready> {
        let lock = PullLock::take(command)?;
        lock.tell_of_participants(command);
        if source != command.path {
            wait_for_last_worker(command, source)?;
        }
        let unreadable = |error| match error {
            Error::Busy(Busy::Locked { .. }) => locks::unreadable(source),
            other => other,
        };
        let redacted = is_redacted(command);
        if redacted || command.request.tables.is_some() {
            let built = rebuilt::build(command, source, redacted, target).map_err(unreadable)?;
            lock.confirm()?;
            return match built {
                Built::OfClient(hashes) => Ok(Ready::Built(hashes)),
                Built::Staged(staged) => Ok(Ready::Pinned(Box::new(Self {
                    snapshot: Snapshot::take(staged.path(), command.client)?,
                    _rebuilt: Some(staged),
                    lock: None,
                }))),
            };
        }
        let snapshot = Snapshot::take(source, command.client).map_err(unreadable)?;
        Ok(Ready::Pinned(Box::new(Self {
            snapshot,
            _rebuilt: None,
            lock: Some(lock),
        })))
    }

    /// Refuses the pull if the snapshot was not protected all the time.
    fn confirm(&self) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), PullLock::confirm)
    }
}

/// Whether the application's rules apply to what the client gets.
fn is_redacted(command: &Command) -> bool {
    let must_be = command.settings.pull == PullKind::Redacted && !command.client.is_root();
    if must_be && !command.request.redacted {
        command
            .client
            .status("The copy is redacted: config.hotswap.pull allows others than root no plain one.");
    }
    must_be || command.request.redacted
}

/// Waits for the worker that replaced the version, which keeps it locked for a moment longer.
fn wait_for_last_worker(command: &Command, version: &Path) -> Result<()> {
    let since = Instant::now();
    while locks::is_locked(version) && since.elapsed() < LINGERING {
        command.client.check_presence()?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn target(client: &Client) -> Result<File> {
    match client.main.receive()? {
        Some(Message::Target) => {}
        other => return Err(gave_up(other)),
    }
    let descriptor = client
        .main
        .take_descriptor()
        .ok_or(Protocol::Missing { what: "the target" })?;
    let target = File::from(descriptor);
    require_new(&target)?;
    Ok(target)
}

fn require_new(target: &File) -> Result<()> {
    let metadata = target.metadata().context("cannot stat the target")?;
    if metadata.is_file() && metadata.len() == 0 {
        return Ok(());
    }
    Err(Protocol::OldTarget.into())
}

/// Writes into the empty file that is the client's standard output. What the user's shell writes there next
/// comes after it.
fn redirect(command: &Command, source: &Path, target: &File) -> Result<Taken> {
    let database = &*command.path;
    require_new(target)?;
    // Closing a second descriptor of a file that SQLite has open would drop SQLite's locks.
    let there = Identity::of(&target.metadata().context("cannot stat standard output")?);
    let taken = |file: &Path| std::fs::metadata(file).is_ok_and(|metadata| Identity::of(&metadata) == there);
    if [database, source].iter().any(|file| taken(file)) || sidecars(database).any(|sidecar| taken(&sidecar))
    {
        return Err(Usage::OutputIsDatabase {
            database: database.to_owned(),
        }
        .into());
    }
    command.client.ask(Plan::Wait)?;
    let taken = write(command, source, target, "standard output")?;
    nix::unistd::lseek(target, taken.length as i64, Whence::SeekSet)
        .context("cannot seek in standard output")?;
    Ok(taken)
}

/// Copies the snapshot into `target`, which the user calls `name`. Releases the database before it waits for the disk
/// to have all of it.
fn write(command: &Command, source: &Path, target: &File, name: &str) -> Result<Taken> {
    let pinned = match Pinned::take(command, source, Some(target))? {
        Ready::Pinned(pinned) => pinned,
        Ready::Built(hashes) => return complete(command, target, name, &hashes),
    };
    let snapshot = &pinned.snapshot;
    let length = snapshot.len();
    let (_watchdog, steps) = Watchdog::of_copy(name, command)?;
    space::require(target.as_fd(), length, "the snapshot")?;
    let copied = |done| {
        steps.taken();
        command.client.progress("copying", done, length);
        command.client.check_presence()
    };
    let shared = snapshot.share_with(target, copied)?;
    let mut identity = None;
    match command.request.identity {
        _ if shared => {}
        true => {
            let ((), computed) = snapshot.identified(|pace| {
                snapshot.copy_to(target, 0, |done| {
                    pace.reach(done);
                    copied(done)
                })
            })?;
            identity = Some(computed);
        }
        false => snapshot.copy_to(target, 0, copied)?,
    }
    pinned.confirm()?;
    let is_database = pinned.lock.is_some();
    drop(pinned);
    steps.are_done();
    backup_disk::sync_content(target).context("cannot sync the target")?;
    if command.request.identity && is_database {
        counted::in_copy(target, command.client);
    }
    // Shared blocks were not read yet, and reading them keeps no push waiting now.
    if shared && command.request.identity {
        identity = Some(identity_of(target, Path::new(name), |_| {
            command.client.check_presence()
        })?);
    }
    Ok(Taken { length, identity })
}

/// Makes the copy that was built in `target` durable. Meanwhile computes its identity; the hashes that are `known` are
/// not computed again.
fn complete(command: &Command, target: &File, name: &str, known: &Hashes) -> Result<Taken> {
    let length = target.metadata().context("cannot stat the target")?.len();
    let sync = || backup_disk::sync_content(target).context("cannot sync the target");
    let identity = match command.request.identity {
        true => Some(identity_alongside(target, Path::new(name), known, sync)?),
        false => sync().map(|()| None)?,
    };
    Ok(Taken { length, identity })
}

/// Sends the snapshot itself to a reader that keeps up. A slow reader gets a copy, because while the snapshot is
/// held the WAL grows, or writers wait, and no push can swap the database.
fn send(command: &Command, source: &Path, pipe: Option<OwnedFd>) -> Result<Taken> {
    let Ready::Pinned(pinned) = Pinned::take(command, source, None)? else {
        unreachable!("there is no file to build in");
    };
    let snapshot = &pinned.snapshot;
    let length = snapshot.len();
    if command.request.identity && pinned.lock.is_some() {
        counted::in_snapshot(snapshot, source, command.client);
    }
    let mut output = Output::open(pipe, &command.client.main)?;
    let progress = |output: &Output| command.client.progress("receiving", output.sent(), length);
    let (spool, identity) = match command.request.identity {
        true => {
            let hashed = snapshot.hashed(|chunks| {
                let stream = |sink: Sink<'_>| chunks.stream(sink);
                send_pinned(command, &pinned, &mut output, &progress, stream)
            });
            hashed.map(|(spool, identity)| (spool, Some(identity)))?
        }
        false => {
            let stream = |sink: Sink<'_>| snapshot.stream(0, sink);
            let spool = send_pinned(command, &pinned, &mut output, &progress, stream)?;
            (spool, None)
        }
    };
    pinned.confirm()?;
    drop(pinned);
    if let Some(spool) = spool {
        command.client.log(
            "info",
            "slow reader: copied the remaining pages and released the database",
        );
        spool.stream(|chunk| {
            progress(&output);
            output.send_all(chunk)
        })?;
    }
    output.finish()?;
    Ok(Taken { length, identity })
}

/// Takes the next chunk of a snapshot. Returns how much of it the reader took.
type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<usize>;

/// Sends the pinned snapshot, as `stream` passes it on. Returns a copy of the rest for a reader that is too slow.
fn send_pinned(
    command: &Command,
    pinned: &Pinned,
    output: &mut Output,
    progress: &impl Fn(&Output),
    stream: impl FnOnce(Sink<'_>) -> Result<u64>,
) -> Result<Option<Spool>> {
    let (snapshot, database) = (&pinned.snapshot, &*command.path);
    // A copy that was built for this pull holds no process up.
    let may_wait = pinned.lock.is_none();
    let sent = stream(&mut |chunk| {
        progress(output);
        match may_wait {
            true => output.send_all(chunk).map(|()| chunk.len()),
            false => output.send(chunk),
        }
    })?;
    if sent == snapshot.len() {
        return Ok(None);
    }
    match Spool::copy(snapshot, sent, database, output.client()) {
        Ok(spool) => Ok(Some(spool)),
        Err(error) if error.is_gone() => Err(error),
        Err(error) => {
            let held = format!("slow reader: the database stays open until it is done: {error}");
            command.client.log("warn", held);
            // With a rollback journal, the snapshot keeps writers out.
            let growth = match snapshot.has_log() {
                true => Some(Growth::of_log(database, snapshot.page_size())?),
                false => None,
            };
            let allowed = || growth.as_ref().map_or(Ok(()), Growth::check);
            snapshot.stream(sent, |chunk| {
                progress(output);
                output.send_while(chunk, allowed).map(|()| chunk.len())
            })?;
            Ok(None)
        }
    }
}
