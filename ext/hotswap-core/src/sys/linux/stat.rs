//! Facts that `statx(2)` reports about a file and `stat(2)` does not.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::time::{clock_gettime, ClockId};

use crate::sys::identity::Identity;

/// The identity of the file at `path`, as far as the kernel knows it. Asks no file system, because that could be
/// remote.
pub fn known_identity(path: &Path) -> io::Result<Identity> {
    let flags = libc::AT_STATX_DONT_SYNC | libc::AT_NO_AUTOMOUNT;
    let answer = ask(path, flags, libc::STATX_INO)?;
    Ok(Identity {
        device: libc::makedev(answer.stx_dev_major, answer.stx_dev_minor),
        inode: answer.stx_ino,
    })
}

/// The number of the mount that contains `path`.
pub fn mount(path: &Path) -> io::Result<u64> {
    ask(path, 0, libc::STATX_MNT_ID).map(|answer| answer.stx_mnt_id)
}

/// The time of the clock from which file times come, in seconds and nanoseconds.
pub fn now() -> io::Result<(i64, i64)> {
    let now = clock_gettime(ClockId::CLOCK_REALTIME_COARSE)?;
    Ok((now.tv_sec(), now.tv_nsec()))
}

fn ask(path: &Path, flags: libc::c_int, mask: libc::c_uint) -> io::Result<libc::statx> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: all fields of `statx` are integers; zero is a value of each.
    let mut answer: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the name is a C string and the answer outlives the call.
    let called = unsafe { libc::statx(libc::AT_FDCWD, name.as_ptr(), flags, mask, &mut answer) };
    nix::errno::Errno::result(called)?;
    Ok(answer)
}
