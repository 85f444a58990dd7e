//! The result of a push, for its last line in the application's log, and for the program that asked for it.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use crate::protocol::{Figures, Way};

/// How long requests were held up, including failed attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// How often.
    pub times: u32,
    /// The longest time.
    pub longest: Duration,
}

impl Held {
    /// Adds one time.
    pub(super) fn add(&mut self, time: Duration) {
        self.times += 1;
        self.longest = self.longest.max(time);
    }
}

impl Display for Held {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "requests held for {}", Spoken(self.longest))?;
        match self.times {
            0 | 1 => Ok(()),
            times => write!(out, " at most, {times} times"),
        }
    }
}

/// The result of one push.
#[derive(Debug)]
pub(super) struct Summary<'a> {
    /// "push" or "rollback".
    pub command: &'static str,
    /// The database, as people write it.
    pub label: &'a str,
    /// The length of its new content.
    pub bytes: u64,
    /// How the content reached it.
    pub way: Way,
    /// How long requests waited.
    pub held: Held,
}

impl Summary<'_> {
    /// The same for a program.
    pub(super) fn figures(&self) -> Figures {
        Figures {
            command: self.command.into(),
            database: self.label.into(),
            bytes: self.bytes,
            way: Some(self.way),
            held_ms: Some(self.held.longest.as_micros() as f64 / 1e3),
            ..Figures::default()
        }
    }
}

impl Display for Summary<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let way = match self.way {
            Way::Rename => "renamed",
            Way::InPlace => "written in place",
        };
        write!(out, "{}, {} bytes, {way}, {}", self.label, self.bytes, self.held)
    }
}

/// A time as people write it: "3.2 ms", "5.03 s".
pub(super) struct Spoken(pub Duration);

impl Display for Spoken {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self.0.as_secs_f64() {
            seconds if seconds < 1.0 => write!(out, "{:.1} ms", seconds * 1e3),
            seconds => write!(out, "{seconds:.2} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_was_done_and_what_it_cost() {
        let mut held = Held::default();
        held.add(Duration::from_micros(3_210));
        let summary = |held| Summary {
            command: "push",
            label: "storage/production.sqlite3",
            bytes: 147_456,
            way: Way::Rename,
            held,
        };
        assert_eq!(
            summary(held).to_string(),
            "storage/production.sqlite3, 147456 bytes, renamed, requests held for 3.2 ms"
        );
        held.add(Duration::from_millis(1_500));
        assert!(summary(held)
            .to_string()
            .ends_with("requests held for 1.50 s at most, 2 times"));
    }
}
