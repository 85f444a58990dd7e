//! The glue: what crosses between Ruby and `hotswap-core`, and nothing else.
//!
//! Native threads never call Ruby. What they need of it they put into the [`mailbox`], whose one Ruby thread
//! answers. Nothing in here waits while it holds the interpreter's lock, except in a process that is the
//! command line or a worker and nothing else; Ruby waits for descriptors instead, which threads and fiber
//! schedulers both know how to do.
//!
//! Everything that belongs to one process is in its [`runtime`], which a forked child makes anew.

// The one public item is the function that magnus makes of `init`.
#![allow(missing_docs)]

mod command;
mod file_name;
mod gate;
mod log;
mod mailbox;
mod runtime;
mod server;
mod sqlite;
mod unit;

use magnus::{Error, Module, RModule, Ruby};

/// What Ruby calls when it loads the extension.
#[magnus::init]
fn init(ruby: &Ruby) -> Result<(), Error> {
    runtime::note_forks();
    let hotswap: RModule = ruby.define_module("Hotswap")?;
    let native = hotswap.define_module("Native")?;
    file_name::define(native)?;
    gate::define(native)?;
    unit::define(ruby, hotswap)?;
    mailbox::define(native)?;
    server::define(native)?;
    command::define(ruby, native)?;
    Ok(())
}

/// A failure of the core as a Ruby exception, `Hotswap::Error`.
fn raise(ruby: &Ruby, error: &hotswap_core::Error) -> Error {
    let class = ruby
        .class_object()
        .const_get::<_, RModule>("Hotswap")
        .and_then(|hotswap| hotswap.const_get::<_, magnus::ExceptionClass>("Error"))
        .unwrap_or_else(|_| ruby.exception_runtime_error());
    Error::new(class, error.to_string())
}
