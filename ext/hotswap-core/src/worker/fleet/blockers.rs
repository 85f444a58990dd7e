//! The processes that keep a push from its swap, as they are shown to the user and in the log.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::error::seconds;
use crate::fence::report::Report;
use crate::fence::report::Why;
use crate::holders;
use crate::sys::process;
use crate::worker::client::Client;
use crate::worker::progress;

/// A shorter wait is not worth a line.
const SOON: Duration = Duration::from_secs(1);
/// How often a line is written at most, if other processes are in the way each time.
const OFTEN: Duration = Duration::from_secs(3);
/// How often a line is written if nothing changes.
const SELDOM: Duration = Duration::from_secs(10);
/// How many processes a line names.
const NAMED: usize = 3;

/// A process that is in the way.
#[derive(Clone, Debug)]
pub(crate) struct Blocker {
    process: String,
    /// What the process does, and since when. Empty if it has not reported.
    does: Vec<(String, Instant)>,
    /// Whether its work takes longer than requests may wait.
    outlasts_the_pause: bool,
    /// Whether the work may have begun before it was first seen.
    at_least: bool,
}

impl Blocker {
    /// Identifies the blocker for as long as it does the same thing.
    fn key(&self) -> String {
        let does: Vec<_> = self.does.iter().map(|(what, _)| &**what).collect();
        format!("{}: {}", self.process, does.join(", "))
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.process)?;
        if self.does.is_empty() {
            return out.write_str(": its work took longer than requests may wait");
        }
        // Work has a name; anything else ends a sentence about the process.
        let (begin, so_long) = if self.at_least {
            (" ", ", for at least")
        } else {
            (": ", " for")
        };
        out.write_str(begin)?;
        for (number, (what, since)) in self.does.iter().enumerate() {
            let comma = if number > 0 { "; " } else { "" };
            write!(out, "{comma}{what}{so_long} {}", seconds(since.elapsed()))?;
        }
        Ok(())
    }
}

/// Makes [`Blocker`]s from reports and locks, and remembers when each was first seen.
#[derive(Debug, Default)]
pub(crate) struct Blockers {
    first_seen: HashMap<(u32, String), Instant>,
}

impl Blockers {
    /// A process whose report arrived at `heard`.
    pub(crate) fn of_report(&mut self, report: &Report, heard: Instant) -> Blocker {
        let state = match &report.why {
            Why::Working | Why::OutlastsThePause => None,
            Why::SwapLock => Some("holds Hotswap::Middleware::SWAP_LOCK"),
            Why::Connection(what) => Some(&**what),
        };
        if let Some(what) = state {
            return self.in_state(report.pid, report.name.clone(), what);
        }
        let running = report.running.iter();
        Blocker {
            process: report.name.clone(),
            does: running
                .map(|one| (one.what.clone(), heard.checked_sub(one.age).unwrap_or(heard)))
                .collect(),
            outlasts_the_pause: report.why == Why::OutlastsThePause,
            at_least: false,
        }
    }

    /// A process that holds a lock and has not reported.
    pub(crate) fn of_silent(&mut self, pid: u32) -> Blocker {
        let name = holders::name(pid);
        let what = if is_a_worker(pid, &name) {
            "copies the database"
        } else if process::is_stopped(pid) {
            "is stopped, and holds the database"
        } else {
            "holds the database and does not answer"
        };
        self.in_state(pid, name, what)
    }

    fn in_state(&mut self, pid: u32, process: String, what: &str) -> Blocker {
        let since = *self
            .first_seen
            .entry((pid, what.into()))
            .or_insert_with(Instant::now);
        Blocker {
            process,
            does: vec![(what.into(), since)],
            outlasts_the_pause: false,
            at_least: true,
        }
    }

    /// A process about which nothing can be known.
    pub(crate) fn elsewhere() -> Blocker {
        Blocker {
            process: "a process in another container".into(),
            does: vec![("holds the database".into(), Instant::now())],
            outlasts_the_pause: false,
            at_least: true,
        }
    }
}

/// Whether the process is another worker: its title says so. Where titles are unknown, it publishes its progress.
fn is_a_worker(pid: u32, name: &str) -> bool {
    name.contains("(hotswap worker") || (!process::ARE_LISTED && progress::is_published_by(pid))
}

/// Suggests what to do about them, with the given `max_pause` and `timeout`.
pub(crate) fn advice(blockers: &[Blocker], max_pause: Duration, timeout: Duration) -> String {
    if blockers.iter().any(|one| one.outlasts_the_pause) {
        return format!(
            "This work takes longer than requests may wait. Allow a longer pause with --max-pause SECONDS (it was {}), or \
             with config.hotswap.max_pause",
            seconds(max_pause)
        );
    }
    if blockers.iter().any(|one| one.at_least) {
        return "Try again when that is over".into();
    }
    format!(
        "Try again later, or allow more time with --timeout SECONDS (it was {}), or with config.hotswap.timeout",
        seconds(timeout)
    )
}

/// Tells a waiting user, and the log, once for each change.
#[derive(Debug)]
pub(crate) struct Telling {
    deadline: Instant,
    next_look: Instant,
    last: Option<(Instant, Vec<String>)>,
    logged: HashSet<Vec<String>>,
}

impl Telling {
    /// For a wait that begins now and ends at `deadline`.
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            next_look: Instant::now() + SOON,
            last: None,
            logged: HashSet::new(),
        }
    }

    /// Whether there may be something to tell the user.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.next_look
    }

    /// Tells the user, if it is time and something has changed.
    pub(crate) fn tell(&mut self, blockers: &[Blocker], client: &Client) {
        if !self.is_due() || blockers.is_empty() {
            return;
        }
        let now = Instant::now();
        let keys = keys(blockers);
        let known = self
            .last
            .as_ref()
            .is_some_and(|(at, told)| *told == keys && now < *at + SELDOM);
        self.next_look = now + if known { SOON } else { OFTEN };
        if known {
            return;
        }
        client.status(format_args!(
            "Waiting for {}. Requests continue. Giving up in {:.0} s.",
            phrase(blockers),
            self.deadline.saturating_duration_since(now).as_secs_f64()
        ));
        self.last = Some((now, keys));
    }

    /// Logs that an attempt has failed, once for each set of reasons.
    pub(crate) fn log(&mut self, blockers: &[Blocker], client: &Client) {
        if self.logged.insert(keys(blockers)) {
            let names: Vec<_> = blockers.iter().map(ToString::to_string).collect();
            client.info(format_args!(
                "still busy after max_pause, trying again: {}",
                names.join("; ")
            ));
        }
    }
}

fn keys(blockers: &[Blocker]) -> Vec<String> {
    let mut keys: Vec<_> = blockers.iter().map(Blocker::key).collect();
    keys.sort_unstable();
    keys
}

fn phrase(blockers: &[Blocker]) -> String {
    let mut names: Vec<_> = blockers.iter().take(NAMED).map(ToString::to_string).collect();
    if blockers.len() > NAMED {
        names.push(format!("{} more processes", blockers.len() - NAMED));
    }
    names.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fence::report::Running;
    use crate::status::CommandStatus;
    use std::path::Path;

    fn report(why: Why, running: &[(&str, u64)]) -> Report {
        let running = running.iter().map(|(what, seconds)| Running {
            what: (*what).into(),
            age: Duration::from_secs(*seconds),
        });
        Report {
            pid: std::process::id(),
            name: "process 7 (console)".into(),
            attempt: 1,
            why,
            running: running.collect(),
        }
    }

    #[test]
    fn ages_are_those_of_now() {
        let heard = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
        let slow =
            Blockers::default().of_report(&report(Why::Working, &[("GET /slow", 11), ("GET /b", 1)]), heard);
        let text = slow.to_string();
        assert!(text.ends_with(": GET /slow for 31 s; GET /b for 21 s"), "{text}");
    }

    #[test]
    fn a_transaction_is_known_for_as_long_as_it_was_seen() {
        let mut seen_blockers = Blockers::default();
        let open = report(Why::Connection("has a transaction open".into()), &[]);
        let first = seen_blockers.of_report(&open, Instant::now());
        std::thread::sleep(Duration::from_millis(10));
        let second = seen_blockers.of_report(&open, Instant::now());
        assert_eq!(first.does, second.does);
        let text = second.to_string();
        assert!(
            text == "process 7 (console) has a transaction open, for at least 0.0 s",
            "{text}"
        );
    }

    #[test]
    fn a_worker_whose_title_is_unknown_is_known_by_its_progress() {
        if process::ARE_LISTED {
            return;
        }
        let text = |pid| Blockers::default().of_silent(pid).to_string();
        let progress = progress::Progress::default();
        progress.begin(Path::new("/live.sqlite3"), CommandStatus::default());
        let (worker, other) = (text(std::process::id()), text(1));
        assert!(worker.contains(" copies the database, for at least "), "{worker}");
        assert!(
            other.contains(" holds the database and does not answer, for "),
            "{other}"
        );
    }

    #[test]
    fn the_advice_names_the_one_setting_that_helps() {
        let (pause, timeout) = (Duration::from_millis(500), Duration::from_secs(30));
        let of = |why, running: &[(&str, u64)]| {
            vec![Blockers::default().of_report(&report(why, running), Instant::now())]
        };
        let slow = advice(&of(Why::Working, &[("GET /slow", 40)]), pause, timeout);
        assert!(
            slow.contains("--timeout SECONDS (it was 30 s)") && !slow.contains("pause"),
            "{slow}"
        );
        let many = advice(&of(Why::OutlastsThePause, &[("GET /slow", 1)]), pause, timeout);
        assert!(
            many.contains("--max-pause SECONDS (it was 0.5 s)") && !many.contains("timeout"),
            "{many}"
        );
        let open = advice(
            &of(Why::Connection("has a transaction open".into()), &[]),
            pause,
            timeout,
        );
        assert_eq!(open, "Try again when that is over");
    }
}
