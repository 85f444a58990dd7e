//! What several messages have in common.

use std::io;
use std::time::Duration;

/// The system's message, without the number that Rust appends.
pub fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// Formats a time for a message: "0.7 s", "31 s".
pub fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        few if few < 9.95 => format!("{few:.1} s"),
        many => format!("{many:.0} s"),
    }
}

/// How many words a list has at most.
const LISTED: usize = 20;

/// "one, two and 3 more".
pub(super) fn list(words: &[String]) -> String {
    let shown = words[..words.len().min(LISTED)].join(", ");
    match words.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The names that a user may have meant who named a table that does not exist.
#[derive(Debug)]
pub enum TableNames {
    /// Those that look like it.
    Similar(Vec<String>),
    /// All of them.
    All(Vec<String>),
}

impl std::fmt::Display for TableNames {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Similar(names) => write!(out, "Similar names: {}", list(names)),
            Self::All(names) => write!(out, "Its tables: {}", list(names)),
        }
    }
}

/// The name of a process in a message, if it is known.
pub(super) fn process(name: Option<&str>) -> &str {
    name.unwrap_or("another process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_the_system_has_no_number() {
        let missing = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(in_words(&missing), "No such file or directory");
    }

    #[test]
    fn a_long_list_ends_with_a_count() {
        let words: Vec<_> = (1..=22).map(|number| number.to_string()).collect();
        assert!(list(&words).ends_with("19, 20 and 2 more"));
        assert_eq!(list(&words[..2]), "1, 2");
    }
}
