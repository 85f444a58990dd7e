//! Starts and stops the server of this process, and runs a worker.

use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;

use hotswap_core::server::{Config, Server, WorkerCommand};
use hotswap_core::settings::Settings;
use hotswap_core::worker;
use magnus::{function, Error, Object, RModule, Ruby};

use crate::file_name::FileName;
use crate::{raise, runtime};

/// `serve(socket, stderr_socket, [program, *arguments], hidden, settings)`: `settings` is JSON.
fn serve(
    ruby: &Ruby,
    socket: FileName,
    stderr_socket: FileName,
    command: Vec<FileName>,
    hidden: Vec<String>,
    settings: String,
) -> Result<bool, Error> {
    let settings = parse_settings(ruby, &settings)?;
    let mut command = command.into_iter().map(|word| word.0);
    let program = PathBuf::from(command.next().unwrap_or_default());
    let config = Config {
        socket: socket.into_path(),
        stderr_socket: stderr_socket.into_path(),
        worker: WorkerCommand {
            program,
            arguments: command.collect(),
            hidden,
        },
        settings,
    };
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

/// Parses what a worker gets to know about the application, as JSON.
pub(crate) fn parse_settings(ruby: &Ruby, settings: &str) -> Result<Settings, Error> {
    serde_json::from_str(settings).map_err(|error| {
        Error::new(
            ruby.exception_arg_error(),
            format!("the settings are not understood: {error}"),
        )
    })
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
    native.define_singleton_method("serve", function!(serve, 5))?;
    native.define_singleton_method("stop", function!(stop, 0))?;
    native.define_singleton_method("run_worker", function!(run_worker, 0))?;
    Ok(())
}
