//! A pull: one snapshot, into a file of the client's or down the connection.

use std::fs::File;
use std::os::fd::AsFd;

use super::caller::Caller;
use super::job::{Database, Job};
use super::snapshot::Snapshot;
use super::space;
use super::visit::Visit;
use crate::error::{Context, Error, Result};
use crate::protocol::{BodyWriter, Message, Plan, Request};

/// Pulls a snapshot of `database` to where the client wants it.
pub fn run(caller: &mut Caller, job: &Job, database: &Database, request: &Request) -> Result<()> {
    caller.info(format_args!(
        "pull started: {} → {}",
        database.label, request.dst.raw
    ));
    let path = database.resolved();
    let length = if request.dst.stdio {
        caller.ask(Plan::ReceiveStream)?;
        let _visit = Visit::begin(&path, job, caller)?;
        let snapshot = Snapshot::take(&path)?;
        stream(caller, &snapshot)?
    } else {
        caller.ask(Plan::ReceiveFile)?;
        let target = target(caller)?;
        let _visit = Visit::begin(&path, job, caller)?;
        let snapshot = Snapshot::take(&path)?;
        write(caller, &snapshot, &target)?
    };
    caller.info(format_args!("pull complete: {} ({length} bytes)", database.label));
    Ok(())
}

fn target(caller: &mut Caller) -> Result<File> {
    let Some(Message::Target) = caller.main.receive()? else {
        return Err(Error::Broken(
            "the client went away before it named a target".into(),
        ));
    };
    let descriptor = caller
        .main
        .take_descriptor()
        .ok_or_else(|| Error::Broken("the client sent no target".into()))?;
    let target = File::from(descriptor);
    let metadata = target.metadata().context("cannot stat the target")?;
    if !metadata.is_file() || metadata.len() != 0 {
        return Err(Error::Broken("the target is not a new, regular file".into()));
    }
    Ok(target)
}

fn write(caller: &mut Caller, snapshot: &Snapshot, target: &File) -> Result<u64> {
    let length = snapshot.len();
    space::require(target.as_fd(), length, "the snapshot")?;
    snapshot.write_to(target, |done| {
        caller.progress("copying", done, length);
        caller.check_presence()
    })?;
    target.sync_all().context("cannot sync the target")?;
    Ok(length)
}

fn stream(caller: &mut Caller, snapshot: &Snapshot) -> Result<u64> {
    let mut body = BodyWriter::new(&mut caller.main);
    snapshot.stream(|chunk| body.send(chunk))?;
    Ok(body.finish()?.length)
}
