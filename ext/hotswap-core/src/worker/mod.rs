//! The worker: one short-lived process per command, and the only one that opens database files.
//!
//! POSIX locks belong to a process: if it closes *any* descriptor of a file, it drops the locks that SQLite in the
//! same process believes it holds. So hotswap never opens a database in a process where the application's own SQLite
//! runs. For the same reason a worker has one descriptor of a file, or closes the others after SQLite's.

mod accounts;
mod attention;
mod attributes;
mod backlog;
mod caller;
mod check;
mod checksums;
mod contents;
mod copying;
mod death;
mod definition;
mod direct;
mod disk_call;
mod fleet;
mod foreign;
mod foreign_file;
mod gently;
mod header;
mod host_sqlite;
#[cfg(test)]
mod hostile_files;
mod in_place;
mod in_the_way;
mod job;
mod jobs;
mod journal;
mod judge;
mod lease;
pub mod leftovers;
mod letting_go;
mod live;
mod locks;
mod log_index;
mod memory;
mod memory_limit;
mod mismatch;
mod outlet;
mod pages;
mod pipe;
mod preflight;
mod processes;
mod processor;
mod pull;
mod push;
mod quick_disk;
mod receive;
mod replaced;
mod rest;
mod rows;
mod schema;
#[cfg(test)]
mod schema_mutations;
mod seen;
mod snapshot;
mod source;
mod space;
mod sql;
mod staged;
mod statx;
pub mod strangers;
mod summary;
mod swap;
#[cfg(test)]
mod systems_sqlite;
mod timeline;
mod vfs;
mod visit;
mod watchdog;
mod writeback;
mod writers_out;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

pub use caller::Caller;
pub use host_sqlite::adopt_sqlite;
pub use job::{resolve, Database, Job, Route};
pub(crate) use processes::Bound;
pub use snapshot::Snapshot;
pub(crate) use strangers::Strangers;

use crate::error::{Error, Result};
use crate::protocol::{Connection, Message, Narration};
use death::LastWords;
use gently::gently;
use replaced::Replaced;

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
fn sweep(leader: &mut Connection, job: &Job) -> Result<()> {
    for name in leftovers::sweep(&job.resolved()) {
        leader.send(&Message::Log(Narration {
            level: "info".into(),
            text: leftovers::removed(&name),
        }))?;
    }
    Ok(())
}

/// `replaced` gets the file that has to stay locked after the command, no matter how the command ends.
fn command(caller: &mut Caller, job: Job, replaced: &mut Option<Replaced>) -> Result<()> {
    let request = caller.request()?;
    let job = &job.for_request(&request);
    caller.be_patient(job.timeout())?;
    caller.info(format_args!("command: {request}"));
    match job.route(&request.src, &request.dst)? {
        Route::Push(database) => push::run(caller, job, database, &request, replaced),
        Route::Pull(database) => gently(job, || pull::run(caller, job, database, &request)),
    }
}
