//! Inspects the processes of the machine, and ends in time no matter what they wait for.
//!
//! A process can make a reader of its `/proc` files wait: `maps` and `cmdline` need the lock of its memory, which
//! the process may hold while it waits for a disk. So another thread reads. If it gets stuck, it is left behind.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::process;
use super::thread::leave_signals_to_others;
use crate::visible;

/// How long an inspection may take. A machine with a thousand processes takes 20 ms.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Only the user waits.
    Patient,
    /// Requests wait.
    Hasty,
}

impl Bound {
    fn in_all(self) -> Duration {
        Duration::from_millis(match self {
            Bound::Patient => 2_000,
            Bound::Hasty => 100,
        })
    }

    fn each(self) -> Duration {
        self.in_all() / 5
    }
}

/// The result of an inspection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The processes that match.
    pub pids: Vec<u32>,
    /// The processes that could not be inspected in time.
    pub unseen: Vec<u32>,
}

/// Finds the processes for which `sought` returns true, as far as this user may inspect them.
pub fn find(bound: Bound, sought: impl Fn(u32) -> bool + Send + Sync + 'static) -> Found {
    find_among(process::pids().collect(), bound, sought)
}

/// The same among `pids`.
pub fn find_among(
    pids: Vec<u32>,
    bound: Bound,
    sought: impl Fn(u32) -> bool + Send + Sync + 'static,
) -> Found {
    let deadline = Instant::now() + bound.in_all();
    let mut unseen: BTreeSet<u32> = pids.iter().copied().collect();
    let all = Arc::new(Queue {
        pids,
        next: AtomicUsize::new(0),
        sought: Box::new(sought),
    });
    let (tell, hear) = channel();
    let mut found = Vec::new();
    // One thread at a time. Another one starts when that one seems to be stuck.
    let mut going = Queue::go_through(&all, &tell);
    while going && !unseen.is_empty() {
        let patience = bound
            .each()
            .min(deadline.saturating_duration_since(Instant::now()));
        match hear.recv_timeout(patience) {
            Ok((pid, is_sought)) => {
                unseen.remove(&pid);
                found.extend(is_sought.then_some(pid));
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline && !all.is_over() => {
                going = Queue::go_through(&all, &tell);
            }
            Err(_) => break,
        }
    }
    Found {
        pids: found,
        unseen: unseen.into_iter().collect(),
    }
}

/// The processes that have not been inspected yet.
struct Queue {
    pids: Vec<u32>,
    next: AtomicUsize,
    sought: Box<dyn Fn(u32) -> bool + Send + Sync>,
}

impl Queue {
    /// Starts a thread that inspects one process after the other. Returns whether the thread was started.
    fn go_through(all: &Arc<Self>, tell: &Sender<(u32, bool)>) -> bool {
        let (all, tell) = (all.clone(), tell.clone());
        in_a_thread(move || {
            while let Some(pid) = all.pids.get(all.next.fetch_add(1, Ordering::Relaxed)) {
                if tell.send((*pid, (all.sought)(*pid))).is_err() {
                    return;
                }
            }
        })
    }

    fn is_over(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= self.pids.len()
    }
}

fn in_a_thread(work: impl FnOnce() + Send + 'static) -> bool {
    let started = std::thread::Builder::new().name("look".into()).spawn(|| {
        leave_signals_to_others();
        work();
    });
    started.is_ok()
}

/// The maximum length of a shown command line, in characters.
const LONGEST_COMMAND: usize = 120;

/// The command line of a process, with its words as they are. Empty if it cannot be read in time, or if the process has
/// none.
pub fn command(pid: u32) -> Vec<String> {
    let (tell, hear) = channel();
    in_a_thread(move || {
        // The receiver is gone if this took too long.
        let _ = tell.send(process::command_line(pid));
    });
    let command = hear.recv_timeout(Bound::Hasty.each()).unwrap_or_default();
    let words = command.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(visible::line).collect()
}

/// The words of a command line as one text that is not too long.
pub fn shown(words: &[String]) -> String {
    let mut command = words.join(" ");
    if let Some((end, _)) = command.char_indices().nth(LONGEST_COMMAND) {
        command.replace_range(end.., "…");
    }
    command
}

/// "process 4711 (bin/rails console)".
pub fn name(pid: u32) -> String {
    match shown(&command(pid)).as_str() {
        // A process that is just starting, that has changed its command line, or whose memory is locked still has
        // the name of its program.
        "" => process::program(pid).map_or_else(
            || format!("process {pid}"),
            |program| format!("process {pid} ({})", visible::line(program.trim_ascii_end())),
        ),
        command => format!("process {pid} ({command})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{eventually, pending};

    #[test]
    fn every_process_is_looked_at_once() {
        let found = find_among((1..=1000).collect(), Bound::Patient, |pid| pid % 500 == 0);
        assert_eq!((found.pids, found.unseen), (vec![500, 1000], vec![]));
    }

    #[test]
    fn a_long_command_is_cut_with_a_sign() {
        if !process::ARE_LISTED {
            return pending("this platform does not tell what a process runs");
        }
        let long = "a".repeat(200);
        let mut sleeper = std::process::Command::new("sh")
            .args(["-c", "read line", &long])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The kernel lets the parent continue before the new program's arguments are in place.
        let mut named = String::new();
        eventually(|| {
            named = name(sleeper.id());
            named.contains("read line")
        });
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(named.ends_with("aaa…)"), "{named}");
    }

    #[test]
    fn one_that_lets_us_wait_hides_no_other() {
        let begun = Instant::now();
        let found = find_among((1..=10).collect(), Bound::Patient, |pid| {
            if pid == 3 || pid == 10 {
                std::thread::sleep(Duration::from_secs(60));
            }
            pid % 2 == 1
        });
        assert_eq!((found.pids, found.unseen), (vec![1, 5, 7, 9], vec![3, 10]));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn many_that_let_us_wait_do_not_add_up() {
        let begun = Instant::now();
        let found = find_among((1..=100).collect(), Bound::Hasty, |_| {
            std::thread::sleep(Duration::from_secs(60));
            false
        });
        assert_eq!((found.pids.len(), found.unseen.len()), (0, 100));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
