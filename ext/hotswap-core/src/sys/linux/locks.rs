//! Which processes hold record locks on a file, as `/proc/locks` lists them, and the lock that marks a file.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{fcntl, FcntlArg};

use crate::sys::file_lock;
use crate::sys::identity::Identity;

/// Whether [`listed`] knows the locks.
pub const ARE_LISTED: bool = true;

/// Puts the lock into `record` that is in its way, also one of this process.
pub fn examine_any(file: impl AsFd, record: &mut libc::flock) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_OFD_GETLK(record)).map(drop)
}

/// All POSIX locks: the file, the process, and whether it excludes others. Opens no file.
pub fn listed() -> Vec<(Identity, u32, bool)> {
    let list = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    list.lines().filter_map(lock_in).collect()
}

/// Marks a file until its descriptor is closed. Waits for whichever open file holds the mark. SQLite may lock a marked
/// file: its record locks and a lock of the whole file do not know each other.
pub fn mark(file: &File) -> io::Result<()> {
    file_lock::lock(file)
}

/// Keeps a file from being marked until its descriptor is closed. Returns false if it is marked.
pub fn keep_unmarked(file: &File) -> bool {
    file_lock::try_lock(file)
}

/// The lock in a line such as `1: POSIX  ADVISORY  READ 1234 fd:01:5678 0 2`. If the process only waits for the lock,
/// `->` follows the first number.
fn lock_in(line: &str) -> Option<(Identity, u32, bool)> {
    let mut words = line.split_whitespace().skip(1);
    if words.next() != Some("POSIX") {
        return None;
    }
    let (kind, pid, file) = (words.nth(1)?, words.next()?, words.next()?);
    let mut numbers = file.split(':');
    let mut device = || u32::from_str_radix(numbers.next()?, 16).ok();
    let device = libc::makedev(device()?, device()?);
    let inode = numbers.next()?.parse().ok()?;
    Some((Identity { device, inode }, pid.parse().ok()?, kind == "WRITE"))
}
