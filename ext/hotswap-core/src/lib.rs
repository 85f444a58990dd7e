//! Everything of hotswap that is not Ruby.
//!
//! Four parts meet in one swap, each in a process of its own:
//!
//! - the **client** ([`cli`], [`client`]): what a person types; speaks the [`protocol`],
//! - the **leader** ([`server`]): the application process that holds the socket; it greets a client and
//!   hands its connection to a fresh worker,
//! - the **worker** ([`worker`]): one process per command; the only one that opens database files,
//! - every **member** ([`member`]): an application process that has the database open; its [`gate`] holds
//!   requests back, its lock on the [`fence`] file is its vote.
//!
//! Nothing in this crate knows Ruby. What it needs of the application it asks through [`member::Host`].

mod backup_disk;
pub mod cli;
pub mod client;
pub mod error;
pub mod exit_code;
pub mod fence;
pub mod gate;
mod killed;
pub mod member;
pub mod private;
pub mod protocol;
mod random;
pub mod server;
pub mod signal;
pub mod visible;
pub mod worker;

pub use error::{Error, Result};
pub use exit_code::ExitCode;

/// The version of the gem, of both crates and of the command line.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
