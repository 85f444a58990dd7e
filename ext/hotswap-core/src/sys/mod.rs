//! What the core asks of the operating system.
//!
//! No module here knows about databases, clients or workers. The names in `pub use platform` are the interface to a
//! platform. Linux has calls of its own for all of them. What macOS has no better call for, it takes from `portable`,
//! which needs only what every Unix has. With the feature `portable`, that backend also runs on Linux, to test it.

pub mod backup_disk;
pub mod birth;
mod checksummed;
mod copy_by_hand;
pub mod credentials;
pub mod datagram;
mod detached;
pub mod exit;
pub mod family;
pub mod file_lock;
pub mod fork;
pub mod identity;
pub mod oom;
pub mod poll;
pub mod processes;
pub mod random;
pub mod record_lock;
pub mod thread;
pub mod unsupported;

#[cfg(all(target_os = "linux", not(feature = "portable")))]
mod linux;
#[cfg(all(target_os = "linux", not(feature = "portable")))]
use linux as platform;

#[cfg(all(target_os = "macos", not(feature = "portable")))]
mod macos;
#[cfg(all(target_os = "macos", not(feature = "portable")))]
use macos as platform;

#[cfg(any(feature = "portable", not(target_os = "linux")))]
mod portable;
#[cfg(any(feature = "portable", not(any(target_os = "linux", target_os = "macos"))))]
use portable as platform;

pub use platform::{
    attributes, copy, descriptors, disk, event, file_watch, lease, locks, memory, open_files, priority,
    process, processor, publication, rights, socket, spawn, stat, unnamed, DESCRIPTION,
};
