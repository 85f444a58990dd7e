//! The worker: one short-lived process per command, and the only one that opens database files.
//!
//! POSIX locks belong to a process: if it closes *any* descriptor of a file, it drops the locks that SQLite in the
//! same process believes it holds. So hotswap never opens a database in a process where the application's own SQLite
//! runs. For the same reason a worker has one descriptor of a file, or closes the others after SQLite's.

mod account;
mod check;
mod client;
mod command;
mod deadline;
mod descriptors;
mod disk;
mod fleet;
mod last_words;
mod live;
mod low_priority;
mod options;
mod progress;
mod pull;
mod push;
mod schema;
mod snapshot;
mod sqlite;
mod status;
mod summary;
mod tables;

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::error::{Busy, Error, Gone, Protocol, Result, Usage};
use crate::fence::{self, Fence, Lock};
use crate::leftovers;
use crate::previous;
use crate::protocol::{previous_of, Connection, Figures, Message, Narration, Request};
use crate::route::Direction;
use crate::settings::Settings;
use crate::sys::memory;

pub use sqlite::host::adopt_sqlite;

use client::{Asked, Client};
use command::Command;
use last_words::LastWords;
use live::replaced::Replaced;

/// Runs one command for the client that the leader hands over through `control`.
///
/// The process is expected to end when this returns: the swap's locks on the replaced file must stay until then.
pub fn run(control: OwnedFd) -> Result<()> {
    memory::use_one_heap();
    let leader = Connection::of_a_worker(UnixStream::from(control));
    let handover = match leader.receive()? {
        Some(Message::Handover(handover)) => handover,
        Some(Message::Sweep(settings)) => return sweep(&leader, &settings),
        // It has been killed, and its client has not asked for anything yet.
        None => return Ok(()),
        _ => return Err(Protocol::Unexpected { from: "the leader" }.into()),
    };
    let (main, stderr) = connections(&leader)?;
    // A leader that ends now has handed everything over. Only its log misses what this worker reports.
    let _ = leader.send(&Message::Taken);
    let mut client = Client::new(main, stderr, leader)?;
    let last_words = LastWords::prepare(&client)?;
    let mut replaced = None;
    let outcome = match client.asks() {
        Ok(Asked::Request(request)) => carry_out(&client, *request, handover.settings, &mut replaced),
        Ok(Asked::Query(query)) => {
            // A client that started this worker itself serves no socket.
            let server = Some(handover.leader).filter(|leader| !client.is(*leader));
            status::answer(&client, &handover.settings, query, server).map(|()| Figures::default())
        }
        Err(error) => Err(error),
    };
    drop(last_words);
    client.log_failure(&outcome);
    client.record(&outcome, account::PATIENCE);
    client.finish(&outcome);
    // The client has its answer by now.
    let Client { log, user, .. } = client;
    // `hotswap status` shows a command until its worker gives up what it publishes.
    drop(user);
    if let Some(replaced) = replaced {
        replaced.keep_locked(&log);
    }
    Ok(())
}

fn connections(leader: &Connection) -> Result<(Connection, Connection)> {
    let next = || {
        let descriptor = leader.take_descriptor();
        descriptor
            .map(|fd| Connection::new(UnixStream::from(fd)))
            .ok_or(Protocol::Missing { what: "a connection" })
    };
    Ok((next()?, next()?))
}

/// Runs in a worker, too: a file that is staged now may be the live one a moment later, and closing it in the
/// application's process would drop the application's locks.
fn sweep(leader: &Connection, settings: &Settings) -> Result<()> {
    let databases = settings.swept();
    let removed = leftovers::sweep(&databases);
    databases
        .iter()
        .for_each(|database| fence::remove_unused(database));
    let removed = removed.iter().map(|name| leftovers::removed(name));
    let recovered = databases.iter().filter(|path| recover(path));
    for text in removed.chain(recovered.map(|path| previous::recovered(path))) {
        leader.send(&Message::Log(Narration {
            level: "info".into(),
            text,
        }))?;
    }
    Ok(())
}

/// Finishes what a dead worker began with a version of `database`, unless a living one is at work. Returns whether a
/// version came back.
fn recover(database: &Path) -> bool {
    if leftovers::hidden(database).is_empty() {
        return false;
    }
    let fence = Fence::open(database).ok();
    let fence = fence.filter(|fence| fence.try_exclusive(Lock::Operation).got());
    fence.is_some() && previous::recover(database).is_ok_and(|count| count > 0)
}

/// Carries out what the client asks for. `replaced` gets the file that has to stay locked after the command, no matter
/// how the command ends.
fn carry_out(
    client: &Client,
    mut request: Request,
    settings: Settings,
    replaced: &mut Option<Replaced>,
) -> Result<Figures> {
    let settings = settings
        .for_request(&request)
        .with_registrations()
        .expand(&[&request.src, &request.dst]);
    client.be_patient(settings.timeout())?;
    client.info(format_args!("command: {request}"));
    let (direction, database) = match settings.route(&request.src, &request.dst) {
        Err(Error::Usage(
            Usage::NoneManaged { .. } | Usage::NotManaged { .. } | Usage::NoneMatches { .. },
        )) if request.may_decline => {
            client.decline()?;
            return Err(Gone::Declined.into());
        }
        route => route?,
    };
    if let Some((number, "")) = request.src.version() {
        // A rollback that names no database. Messages and the record name it.
        request.src.raw = previous_of(number, OsStr::new(&database.label))
            .to_string_lossy()
            .into_owned();
    }
    // A version may be there without the database, but not without its folder.
    let has_versions = || database.path.parent().is_some_and(Path::exists);
    if direction == Direction::Pull || (direction != Direction::Push && !has_versions()) {
        match request.src.identity {
            Some(_) if direction == Direction::Pull && !database.path.exists() => {
                return Err(Busy::SourceRemoved.into())
            }
            _ => database.require_created()?,
        }
    }
    let command = Command::new(client, &request, &settings, database);
    options::require_sense(&request, direction)?;
    if matches!(direction, Direction::Rollback(_) | Direction::PullVersion(_)) {
        command.require_own_versions()?;
    }
    if !request.dry_run {
        client.begin_account(&command.path, command.entry(direction));
    }
    let outcome = match direction {
        Direction::Push => push::run(&command),
        Direction::Rollback(number) => push::roll_back(&command, number),
        Direction::Pull => command.at_low_priority(|| pull::run(&command, None)),
        Direction::PullVersion(number) => command.at_low_priority(|| pull::run(&command, Some(number))),
    };
    *replaced = command.into_replaced();
    outcome
}
