//! Linux.

pub mod attributes;
pub mod copy;
pub mod descriptors;
pub mod disk;
pub mod event;
pub mod file_watch;
pub mod lease;
pub mod locks;
pub mod memory;
pub mod open_files;
pub mod priority;
pub mod process;
pub mod processor;
pub mod publication;
pub mod rights;
pub mod socket;
pub mod spawn;
pub mod stat;
pub mod unnamed;

/// This backend, for the log.
pub const DESCRIPTION: &str = "linux";
