//! A process with what it has started, and what that has started, and so on. Some of it may be in process groups and
//! sessions of its own, such as what `timeout` and `setsid` start.

use std::collections::HashMap;

use nix::sys::signal::{kill, killpg, Signal};
use nix::unistd::Pid;

use super::process;

/// How often a look may find processes that have been started since the last one.
const LOOKS: u32 = 20;

/// Kills the child `head` of this process, which leads a process group, and its family. A process whose parent has
/// ended is found only in that group.
pub fn kill_all(head: u32) {
    let head = head as i32;
    let mut family = vec![head];
    // What stands still starts nothing, and keeps its children.
    let _ = kill(Pid::from_raw(head), Signal::SIGSTOP);
    for _ in 0..LOOKS {
        let mut found = below(head);
        found.retain(|pid| !family.contains(pid));
        if found.is_empty() {
            break;
        }
        for pid in &found {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGSTOP);
        }
        family.extend(found);
    }
    let _ = killpg(Pid::from_raw(head), Signal::SIGKILL);
    for pid in family {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// The processes of the family of `head`, without it.
fn below(head: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for pid in process::pids().map(|pid| pid as i32) {
        if let Some(parent) = process::parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut family = vec![head];
    let mut seen = 0;
    while let Some(parent) = family.get(seen) {
        family.extend(children.remove(parent).unwrap_or_default());
        seen += 1;
    }
    family.split_off(1)
}
