//! The functions for the gate and the memberships.

use std::sync::Arc;
use std::time::Instant;

use hotswap_core::gate::Gate;
use magnus::{function, Error, IntoValue, Object, RModule, Ruby, Value};

use crate::database_gate::OfDatabase;
use crate::file_name::FileName;
use crate::{raise, runtime};

/// The gate of this process.
pub(crate) fn of_this_process(ruby: &Ruby) -> Result<&'static Arc<Gate>, Error> {
    runtime::current()
        .map(|runtime| &runtime.gate)
        .map_err(|error| raise(ruby, &error))
}

fn closed(ruby: &Ruby) -> Result<bool, Error> {
    Ok(of_this_process(ruby)?.is_closed())
}

fn inside(ruby: &Ruby) -> Result<u64, Error> {
    Ok(of_this_process(ruby)?.inside())
}

fn close(ruby: &Ruby) -> Result<bool, Error> {
    Ok(of_this_process(ruby)?.close())
}

fn try_seal(ruby: &Ruby) -> Result<bool, Error> {
    Ok(of_this_process(ruby)?.seal(Instant::now()))
}

fn reopen(ruby: &Ruby) -> Result<(), Error> {
    of_this_process(ruby)?.reopen();
    Ok(())
}

fn open_descriptor(ruby: &Ruby) -> Result<i32, Error> {
    Ok(of_this_process(ruby)?.open_signal().raw())
}

/// `join(database, own_gate)`: false if a swap is under way; the gate of the database if it has one; otherwise true.
fn join(ruby: &Ruby, database: FileName, own_gate: bool) -> Result<Value, Error> {
    let runtime = runtime::current().map_err(|error| raise(ruby, &error))?;
    let joined = runtime
        .member
        .join(&database.into_path(), own_gate)
        .map_err(|error| raise(ruby, &error))?;
    Ok(match joined.map(|joined| joined.gate) {
        None => false.into_value_with(ruby),
        Some(None) => true.into_value_with(ruby),
        Some(Some(gate)) => OfDatabase::new(gate).into_value_with(ruby),
    })
}

/// The process must be a member of the database's fleet.
fn object(ruby: &Ruby, database: FileName) -> Result<bool, Error> {
    let runtime = runtime::current().map_err(|error| raise(ruby, &error))?;
    Ok(runtime.member.object(&database.into_path()))
}

fn memberships() -> Vec<FileName> {
    let databases = runtime::existing()
        .map(|runtime| runtime.member.databases())
        .unwrap_or_default();
    databases.iter().map(|path| FileName::of(path)).collect()
}

/// How long a worker may keep this process waiting, in seconds, as far as a worker has posted it.
fn longest_pause() -> f64 {
    runtime::existing().map_or(0.0, |runtime| runtime.member.longest_pause().as_secs_f64())
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("gate_closed?", function!(closed, 0))?;
    native.define_singleton_method("inside", function!(inside, 0))?;
    native.define_singleton_method("close_gate", function!(close, 0))?;
    native.define_singleton_method("try_seal_gate", function!(try_seal, 0))?;
    native.define_singleton_method("reopen_gate", function!(reopen, 0))?;
    native.define_singleton_method("gate_descriptor", function!(open_descriptor, 0))?;
    native.define_singleton_method("join", function!(join, 2))?;
    native.define_singleton_method("object", function!(object, 1))?;
    native.define_singleton_method("longest_pause", function!(longest_pause, 0))?;
    native.define_singleton_method("memberships", function!(memberships, 0))?;
    native.define_singleton_method("generation", function!(runtime::generation, 0))?;
    Ok(())
}
