//! The files that processes have open: unknown. Only what processes publish can be found.

use std::io;
use std::os::fd::RawFd;
use std::path::Path;

use super::publication;

/// Whether this platform tells which files other processes have open.
pub const ARE_KNOWN: bool = false;

/// The processes that a survey has to [`look`] at: those that publish something under `name`.
pub fn to_look_at(name: &str) -> Vec<u32> {
    publication::all(name).map(|(pid, _)| pid).collect()
}

/// Which of the files `sought` a process has open, and what it publishes under `name`.
pub fn look(pid: u32, sought: &[Option<Sought>], name: &str) -> (Vec<bool>, Vec<Vec<u8>>) {
    (vec![false; sought.len()], publication::of(pid, name))
}

/// Whether a process has a file open whose name ends with `suffix`.
pub fn has_name_open(_pid: u32, _suffix: &str) -> bool {
    false
}

/// A file that a process may have open.
#[derive(Debug)]
pub struct Sought;

impl Sought {
    /// The file at `path`.
    pub fn at(_path: &Path, _writers: bool) -> io::Result<Self> {
        Ok(Self)
    }

    /// The file of a descriptor.
    pub fn of(_file: RawFd) -> io::Result<Self> {
        Ok(Self)
    }

    /// Whether a process has the file open or mapped.
    pub fn is_used_in(&self, _pid: u32) -> bool {
        false
    }

    /// Whether a process has the file open.
    pub fn is_open_in(&self, _pid: u32) -> bool {
        false
    }
}
