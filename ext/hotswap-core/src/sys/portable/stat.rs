//! Facts about a file.

use std::io;
use std::path::Path;

use nix::time::{clock_gettime, ClockId};

use crate::sys::identity::Identity;

/// The identity of the file at `path`.
pub fn known_identity(path: &Path) -> io::Result<Identity> {
    Ok(Identity::of(&std::fs::metadata(path)?))
}

/// The number of the mount that contains `path`: the same for every path, because not every Unix reports it. A device
/// is no substitute: on overlayfs, a file may have another one than its folder.
pub fn mount(_path: &Path) -> io::Result<u64> {
    Ok(0)
}

/// A time in seconds and nanoseconds that is earlier than the time that a file would get now, by a tick of the clock
/// from which file times come.
pub fn now() -> io::Result<(i64, i64)> {
    const TICK: i64 = 10_000_000;
    let now = clock_gettime(ClockId::CLOCK_REALTIME)?;
    let (seconds, nanoseconds) = (now.tv_sec(), now.tv_nsec() - TICK);
    Ok(match nanoseconds {
        0.. => (seconds, nanoseconds),
        _ => (seconds - 1, nanoseconds + 1_000_000_000),
    })
}
