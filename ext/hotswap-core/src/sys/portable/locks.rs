//! Which processes hold record locks on a file: unknown, except for a lock that is in the way of one's own. Also the
//! lock that marks a file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg};

use crate::sys::identity::Identity;

/// Whether [`listed`] knows the locks.
pub const ARE_LISTED: bool = false;

/// Puts the lock into `record` that is in its way. A lock of this process is not: POSIX does not tell.
pub fn examine_any(file: impl AsFd, record: &mut libc::flock) -> nix::Result<()> {
    fcntl(file, FcntlArg::F_GETLK(record)).map(drop)
}

/// All locks: there is no list of them.
pub fn listed() -> Vec<(Identity, u32, bool)> {
    Vec::new()
}

/// The byte whose lock marks a file: no database is so long, and SQLite locks bytes at one gigabyte. On macOS, a lock
/// of the whole file (`flock`) would keep SQLite out, also in the same process.
const MARK: libc::off_t = 1 << 62;

/// Marks a file until its descriptor is closed. Waits for whichever open file holds the mark. The file must be open for
/// writing. SQLite may lock a marked file.
pub fn mark(file: &File) -> io::Result<()> {
    loop {
        match lock(file, libc::F_OFD_SETLKW, libc::F_WRLCK as libc::c_short) {
            Err(Errno::EINTR) => {}
            marked => return Ok(marked?),
        }
    }
}

/// Keeps a file from being marked until its descriptor is closed. Returns false if it is marked.
pub fn keep_unmarked(file: &File) -> bool {
    lock(file, libc::F_OFD_SETLK, libc::F_RDLCK as libc::c_short).is_ok()
}

/// The lock belongs to the open file, and not to the process like those of POSIX.
fn lock(file: &File, command: libc::c_int, kind: libc::c_short) -> Result<(), Errno> {
    let record = libc::flock {
        l_type: kind,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: MARK,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: the descriptor is open, and the record outlives the call.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_ref(&record)) }).map(drop)
}
