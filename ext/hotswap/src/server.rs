//! Starts and stops the server of this process, and runs a worker.

use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use hotswap_core::server::{Config, ProbeBlock, Server, WorkerCommand};
use hotswap_core::{registration, worker};
use magnus::{function, Error, Object, RModule, Ruby};

use crate::file_name::FileName;
use crate::{raise, runtime};

/// `[socket, stderr_socket, [program, *arguments], hidden, settings]`: `settings` is JSON.
pub(crate) type Described = (FileName, FileName, Vec<FileName>, Vec<String>, String);

/// The configuration of a leader, from what `Hotswap::Server` says about this process.
pub(crate) fn config(ruby: &Ruby, described: Described) -> Result<Config, Error> {
    let (socket, stderr_socket, command, hidden, settings) = described;
    let settings = serde_json::from_str(&settings).map_err(|error| {
        Error::new(
            ruby.exception_arg_error(),
            format!("the settings are not understood: {error}"),
        )
    })?;
    let mut command = command.into_iter().map(|word| word.0);
    let program = PathBuf::from(command.next().unwrap_or_default());
    Ok(Config {
        socket: socket.into_path(),
        stderr_socket: stderr_socket.into_path(),
        worker: WorkerCommand {
            program,
            arguments: command.collect(),
            hidden,
            own_group: false,
        },
        probe: ProbeBlock(Arc::new(|database, timeout| match runtime::existing() {
            Some(runtime) => runtime.mailbox.probe(database, timeout),
            None => Some("the process that served this push has forked".into()),
        })),
        settings,
    })
}

/// `serve(description)`: see [`Described`].
fn serve(ruby: &Ruby, described: Described) -> Result<bool, Error> {
    let config = config(ruby, described)?;
    let runtime = runtime::current().map_err(|error| raise(ruby, &error))?;
    let mut server = runtime
        .server
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if server.is_some() {
        return Ok(false);
    }
    *server = Some(Server::start(config).map_err(|error| raise(ruby, &error))?);
    Ok(true)
}

/// `publish(description)`: makes workers of the application know what this process has registered since it booted.
fn publish(ruby: &Ruby, described: Described) -> Result<(), Error> {
    let config = config(ruby, described)?;
    let runtime = runtime::current().map_err(|error| raise(ruby, &error))?;
    *runtime
        .registered
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner) = registration::publish(&config.settings);
    Ok(())
}

/// Stops the server of this process. A forked child has no server of its own.
fn stop() -> bool {
    let Some(runtime) = runtime::existing() else {
        return false;
    };
    let server = runtime
        .server
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
    server.map(Server::stop).is_some()
}

/// Runs the command that the leader hands over through standard input. This process does nothing else.
fn run_worker(ruby: &Ruby) -> Result<(), Error> {
    // SAFETY: the leader gives a worker its end of the socket pair as standard input, and no other code in this
    // process reads it.
    let control = unsafe { OwnedFd::from_raw_fd(0) };
    worker::run(control).map_err(|error| raise(ruby, &error))
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("serve", function!(serve, 1))?;
    native.define_singleton_method("publish", function!(publish, 1))?;
    native.define_singleton_method("stop", function!(stop, 0))?;
    native.define_singleton_method("run_worker", function!(run_worker, 0))?;
    Ok(())
}
