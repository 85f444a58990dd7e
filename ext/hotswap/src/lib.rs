//! The glue between Ruby and `hotswap-core`.
//!
//! Native threads never call Ruby. They put questions for Ruby into the [`mailbox`], and one Ruby thread answers
//! them. Nothing in this crate waits while it holds the interpreter's lock, except in a process that is only the
//! command line or a worker. Instead, Ruby waits for descriptors, which threads and fiber schedulers both support.
//!
//! The state of a process is in its [`runtime`]. A forked child makes a new one.

mod command;
mod database_gate;
mod file_name;
mod gate;
mod log;
mod mailbox;
mod pattern;
mod runtime;
mod server;
mod sqlite;
mod unit;

use magnus::{Error, Module, RModule, Ruby};

/// Ruby calls this when it loads the extension.
#[magnus::init]
fn init(ruby: &Ruby) -> Result<(), Error> {
    runtime::note_forks();
    let hotswap: RModule = ruby.define_module("Hotswap")?;
    let native = hotswap.define_module("Native")?;
    file_name::define(native)?;
    gate::define(native)?;
    unit::define(ruby, hotswap)?;
    database_gate::define(ruby, hotswap)?;
    mailbox::define(native)?;
    pattern::define(native)?;
    server::define(native)?;
    command::define(ruby, native)?;
    Ok(())
}

/// The class in lib/hotswap/errors.rb for each exit status.
fn class_of(error: &hotswap_core::Error) -> &'static str {
    use hotswap_core::Error;
    match error {
        Error::NoServer(_) => "ServerNotFound",
        Error::Usage(_) => "UsageError",
        Error::Refused(_) => "Refused",
        Error::Busy(_) => "Busy",
        Error::Failed(_) => "Failed",
        Error::Changed(_) => "Changed",
        Error::RolledBack(_) => "RolledBack",
    }
}

/// Converts an error of the core into a Ruby exception.
fn raise(ruby: &Ruby, error: &hotswap_core::Error) -> Error {
    let class = ruby
        .class_object()
        .const_get::<_, RModule>("Hotswap")
        .and_then(|hotswap| hotswap.const_get::<_, magnus::ExceptionClass>(class_of(error)))
        .unwrap_or_else(|_| ruby.exception_runtime_error());
    Error::new(class, error.to_string())
}
