//! SQLite: the application's own library, and the formats of its files.

pub(super) mod checksums;
pub(super) mod file_type;
pub(super) mod foreign;
pub(super) mod header;
pub(super) mod host;
pub(super) mod journal;
pub(super) mod locks;
pub(super) mod log_buffer;
mod memory_limit;
pub(super) mod node;
pub(super) mod page_set;
#[cfg(test)]
pub(super) mod system;
pub(super) mod vfs;
pub(super) mod wal_index;
