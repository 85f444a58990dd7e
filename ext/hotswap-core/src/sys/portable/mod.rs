//! What every Unix has. It knows less than Linux: which processes run, which files they have open, and who holds a
//! lock. It has no proof that a file is open in no other process, so a push writes in place.

pub mod attributes;
pub mod copy;
pub mod descriptors;
pub mod event;
pub mod lease;
pub mod locks;
pub mod memory;
pub mod processor;
pub mod publication;
pub mod rights;
pub mod socket;
pub mod spawn;
pub mod stat;
pub mod unnamed;

// macOS has calls of its own for these.
#[cfg(any(feature = "portable", not(target_os = "macos")))]
pub mod disk;
#[cfg(any(feature = "portable", not(target_os = "macos")))]
pub mod file_watch;
#[cfg(any(feature = "portable", not(target_os = "macos")))]
pub mod open_files;
#[cfg(any(feature = "portable", not(target_os = "macos")))]
pub mod priority;
#[cfg(any(feature = "portable", not(target_os = "macos")))]
pub mod process;

/// This backend, for the log.
#[cfg(any(feature = "portable", not(target_os = "macos")))]
pub const DESCRIPTION: &str = "portable, experimental: for development. Pushes write in place";
