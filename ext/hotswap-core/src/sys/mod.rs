//! What the core asks of Linux.
//!
//! No module here knows about databases, clients or workers.

pub mod attributes;
pub mod backup_disk;
pub mod birth;
pub mod copy;
pub mod event;
pub mod exit;
pub mod family;
pub mod fork;
pub mod identity;
pub mod memory;
pub mod oom;
pub mod poll;
pub mod processes;
pub mod processor;
pub mod publication;
pub mod random;
pub mod record_lock;
pub mod socket;
pub mod statx;
pub mod thread;
