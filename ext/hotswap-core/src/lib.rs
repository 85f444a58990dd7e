//! The core of hotswap: everything that is not Ruby.
//!
//! Four parts take part in a swap, each in its own process:
//!
//! - the **client** ([`cli`], [`client`]): the command that a user runs; it speaks the [`protocol`],
//! - the **leader** ([`server`]): the application process that holds the socket; it greets a client and
//!   hands its connections to a new worker,
//! - the **worker** ([`worker`]): one process per command; the only one that opens database files,
//! - every **member** ([`member`]): an application process that has the database open; its [`gate`] holds
//!   requests up, and its lock on the [`fence`] file is its vote.
//!
//! This crate does not depend on Ruby. It asks [`member::Host`] for what it needs from the application.

pub mod cli;
pub mod client;
mod content_id;
pub mod error;
pub mod exit_code;
mod expansion;
pub mod fence;
pub mod gate;
mod holders;
mod in_place;
mod leftovers;
pub mod member;
mod path;
pub mod pattern;
mod percent;
mod previous;
pub mod protocol;
pub mod record;
pub mod redaction_rules;
pub mod registration;
mod route;
pub mod selection;
pub mod server;
pub mod settings;
pub mod sidecar;
pub mod status;
pub mod sys;
#[cfg(test)]
mod testing;
pub mod visible;
pub mod worker;

pub use error::{Error, Result};
pub use exit_code::ExitCode;

/// The version of the gem, of both crates and of the command line.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
