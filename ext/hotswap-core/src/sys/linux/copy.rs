//! Copying by the kernel: shared blocks where the file system supports them, ranges otherwise.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use crate::sys::copy_by_hand::by_hand;

/// Makes both files share their blocks. Returns false if the file system does not support it.
pub fn reflink(source: &File, target: &File) -> bool {
    const FICLONE: libc::c_ulong = 0x4004_9409;
    // SAFETY: both descriptors are open for the length of the call, which takes no pointer.
    unsafe { libc::ioctl(target.as_raw_fd(), FICLONE as _, source.as_raw_fd()) == 0 }
}

/// Copies at explicit offsets, because a descriptor that a client sent shares its offset with the client.
pub fn copy_range(source: &File, from: u64, target: &File, to: u64, length: u64) -> io::Result<u64> {
    let (mut from_offset, mut to_offset) = (from as libc::loff_t, to as libc::loff_t);
    loop {
        // The C library's function and not the one of nix, which makes the system call itself: the crash specs replace
        // the C library's.
        // SAFETY: both descriptors are open and both offsets outlive the call.
        let copied = unsafe {
            libc::copy_file_range(
                source.as_raw_fd(),
                &mut from_offset,
                target.as_raw_fd(),
                &mut to_offset,
                length as usize,
                0,
            )
        };
        match Errno::result(copied) {
            Ok(bytes) => return Ok(bytes as u64),
            Err(Errno::EINTR) => {}
            // The file systems differ, or one of them does not support it.
            Err(Errno::EXDEV | Errno::EINVAL | Errno::ENOSYS | Errno::EOPNOTSUPP) => {
                return by_hand(source, from, target, to, length)
            }
            Err(errno) => return Err(errno.into()),
        }
    }
}
