//! macOS: what every Unix has, and libproc, kqueue and the classes of its scheduler. It has no proof that a file is
//! open in no other process: libproc shows a user only that user's own processes.

pub mod disk;
pub mod file_watch;
pub mod open_files;
pub mod priority;
pub mod process;

pub use super::portable::{
    attributes, copy, descriptors, event, lease, locks, memory, processor, publication, rights, socket,
    spawn, stat, unnamed,
};

/// This backend, for the log.
pub const DESCRIPTION: &str = "macos, experimental: for development. Pushes write in place";
