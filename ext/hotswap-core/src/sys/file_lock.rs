//! Locks of whole files (`flock`). Such a lock belongs to the open file: it ends when the last file descriptor of that
//! open file is closed, at the latest with the last process that has one.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

/// Locks `file`, and waits for whichever open file holds its lock.
pub fn lock(file: &File) -> io::Result<()> {
    loop {
        match flock(file, libc::LOCK_EX) {
            Err(Errno::EINTR) => {}
            locked => return locked.map_err(io::Error::from),
        }
    }
}

/// Locks `file` unless another open file holds its lock. Returns whether it is locked now.
pub fn try_lock(file: &File) -> bool {
    flock(file, libc::LOCK_EX | libc::LOCK_NB).is_ok()
}

/// Whether another open file holds a lock of `file`, shared or exclusive. If not, `file` now holds the exclusive lock.
pub fn held_by_another(file: &File) -> bool {
    flock(file, libc::LOCK_EX | libc::LOCK_NB) == Err(Errno::EWOULDBLOCK)
}

/// Whether another open file holds the exclusive lock of `file`. If not, `file` now holds a shared lock, which keeps
/// others from the exclusive one until `file` is closed.
pub fn held_exclusively(file: &File) -> bool {
    flock(file, libc::LOCK_SH | libc::LOCK_NB) == Err(Errno::EWOULDBLOCK)
}

fn flock(file: &File, operation: libc::c_int) -> Result<(), Errno> {
    // SAFETY: takes no pointer, and the descriptor is open.
    Errno::result(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_open_file_at_a_time_has_the_lock() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let [first, second] = [(); 2].map(|()| File::open(file.path()).expect("the file"));
        assert!(try_lock(&first));
        assert!(!try_lock(&second) && held_exclusively(&second));
        drop(first);
        assert!(!held_exclusively(&second));
        lock(&second).expect("a lock");
        assert!(!try_lock(&File::open(file.path()).expect("the file")));
    }

    #[test]
    fn a_shared_lock_ends_when_the_last_one_asks_for_more() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let [first, second] = [(); 2].map(|()| File::open(file.path()).expect("the file"));
        assert!(!held_exclusively(&first) && !held_exclusively(&second));
        assert!(held_by_another(&first));
        drop(first);
        assert!(!held_by_another(&second));
        assert!(held_exclusively(&File::open(file.path()).expect("the file")));
    }
}
