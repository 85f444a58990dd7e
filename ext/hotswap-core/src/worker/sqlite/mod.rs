//! SQLite: the application's own library, and the formats of its files.

pub mod checksums;
pub mod file_type;
pub mod foreign;
pub mod header;
pub mod host;
pub mod journal;
pub mod locks;
mod memory_limit;
#[cfg(test)]
pub mod system;
pub mod vfs;
pub mod wal_index;
