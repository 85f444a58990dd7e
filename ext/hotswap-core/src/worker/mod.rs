//! The worker: one short-lived process per command, and the only one that opens database files.
//!
//! POSIX locks belong to a process: if it closes *any* descriptor of a file, it drops the locks that SQLite in the
//! same process believes it holds. So hotswap never opens a database in a process where the application's own SQLite
//! runs. For the same reason a worker has one descriptor of a file, or closes the others after SQLite's.

mod check;
mod client;
mod deadline;
mod disk;
mod fleet;
mod last_words;
mod letting_go;
mod live;
mod low_priority;
mod pull;
mod push;
mod route;
mod schema;
mod sqlite;
mod summary;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::error::{Error, Result};
use crate::leftovers;
use crate::protocol::{Connection, Message, Narration};
use crate::settings::Settings;

pub use sqlite::host::adopt_sqlite;

use client::Caller;
use last_words::LastWords;
use live::replaced::Replaced;
use low_priority::gently;
use route::Route;

/// Runs one command for the client that the leader hands over through `control`.
///
/// The process is expected to end when this returns: the swap's locks on the replaced file must stay until then.
pub fn run(control: OwnedFd) -> Result<()> {
    let mut leader = Connection::of_a_worker(UnixStream::from(control));
    let handover = match leader.receive()? {
        Some(Message::Handover(handover)) => handover,
        Some(Message::Sweep(job)) => return sweep(&mut leader, &job),
        _ => return Err(Error::Broken("the leader handed nothing over".into())),
    };
    let (main, stderr) = connections(&mut leader)?;
    // A leader that ends now has handed everything over. Only its log misses what this worker reports.
    let _ = leader.send(&Message::Taken);
    let mut caller = Caller::new(main, stderr, leader)?;
    let last_words = LastWords::prepare(&caller)?;
    let mut replaced = None;
    let outcome = command(&mut caller, handover.job, &mut replaced);
    drop(last_words);
    caller.log_failure(&outcome);
    caller.finish(&outcome);
    // The client has its answer by now.
    let Caller { mut log, .. } = caller;
    if let Some(replaced) = replaced {
        replaced.keep_locked(&mut log);
    }
    Ok(())
}

fn connections(leader: &mut Connection) -> Result<(Connection, Connection)> {
    let mut next = || {
        let descriptor = leader.take_descriptor();
        descriptor
            .map(|fd| Connection::new(UnixStream::from(fd)))
            .ok_or_else(|| Error::Broken("a connection is missing".into()))
    };
    Ok((next()?, next()?))
}

/// Runs in a worker, too: a file that is staged now may be the live one a moment later, and closing it in the
/// application's process would drop the application's locks.
fn sweep(leader: &mut Connection, job: &Settings) -> Result<()> {
    for name in leftovers::sweep(&job.resolved()) {
        leader.send(&Message::Log(Narration {
            level: "info".into(),
            text: leftovers::removed(&name),
        }))?;
    }
    Ok(())
}

/// `replaced` gets the file that has to stay locked after the command, no matter how the command ends.
fn command(caller: &mut Caller, job: Settings, replaced: &mut Option<Replaced>) -> Result<()> {
    let request = caller.request()?;
    let job = &job.for_request(&request);
    caller.be_patient(job.timeout())?;
    caller.info(format_args!("command: {request}"));
    match job.route(&request.src, &request.dst)? {
        Route::Push(database) => push::run(caller, job, database, &request, replaced),
        Route::Pull(database) => gently(job, || pull::run(caller, job, database, &request)),
    }
}
