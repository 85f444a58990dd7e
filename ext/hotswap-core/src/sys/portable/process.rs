//! Processes: only whether one runs.

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::sys::credentials::Credentials;

/// Whether this platform lists processes.
pub const ARE_LISTED: bool = false;

/// All processes: unknown.
pub fn pids() -> impl Iterator<Item = u32> {
    std::iter::empty()
}

/// The command line of a process: unknown.
pub fn command_line(_pid: u32) -> Vec<u8> {
    Vec::new()
}

/// The name of the program of a process: unknown.
pub fn program(_pid: u32) -> Option<Vec<u8>> {
    None
}

/// The parent of a process: unknown.
pub fn parent(_pid: i32) -> Option<i32> {
    None
}

/// When a process began. That is unknown, so this is the same for all of them. `None` if it has ended.
pub fn began(pid: u32) -> Option<String> {
    let runs = !matches!(kill(Pid::from_raw(pid as i32), None), Err(Errno::ESRCH));
    runs.then(|| "0".to_owned())
}

/// Whether a process is stopped: unknown.
pub fn is_stopped(_pid: u32) -> bool {
    false
}

/// Whether a process waits for a disk: unknown.
pub fn waits_for_a_disk(_pid: i32) -> bool {
    false
}

/// The user and the groups of a process: unknown.
pub fn credentials(_pid: u32) -> Option<Credentials> {
    None
}
