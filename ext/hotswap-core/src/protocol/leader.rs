//! What the lock file of the leader, `<socket>.lock`, tells a client: whether the application has ever served the
//! socket, and whether it is restarting.

use std::path::{Path, PathBuf};

use crate::sys::process;

/// The lock file of the leader at `socket`.
pub(crate) fn lock_of(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

/// Whether any process has ever led at `socket`. The leader's own process cannot look at the lock to find the
/// current one: closing the file there would drop its lock.
pub(crate) fn was_led(socket: &Path) -> bool {
    lock_of(socket).exists()
}

/// The last leader at `socket`, if it is still running: a server that restarts with `exec` keeps its process.
pub(crate) fn last_leader(socket: &Path) -> Option<u32> {
    let written = std::fs::read_to_string(lock_of(socket)).ok()?;
    let pid = written.split(' ').next()?.parse().ok()?;
    (Some(written) == signature(pid)).then_some(pid)
}

/// "4711 8888": the pid of a running process and its start time, which tells it from a later process with the same
/// pid.
pub(crate) fn signature(pid: u32) -> Option<String> {
    process::began(pid).map(|began| format!("{pid} {began}"))
}
