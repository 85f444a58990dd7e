//! One entry of the record. docs/json.md documents it.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::{TableChange, Way};

/// The limit for one line, in bytes.
pub(super) const LONGEST_LINE: usize = 32 * 1024;
/// How much stays of a text in an entry that is too long, in characters.
const SHORTENED: usize = 500;

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The database was replaced.
    Push,
    /// A snapshot was taken.
    Pull,
    /// The previous version came back.
    Rollback,
    /// The command was refused, or something was in the way. Nothing changed.
    Refused,
    /// Something broke.
    Failed,
    /// An event of a later version of hotswap.
    #[default]
    #[serde(other)]
    Other,
}

impl Event {
    /// Whether the live database was replaced.
    pub fn is_a_swap(self) -> bool {
        matches!(self, Event::Push | Event::Rollback)
    }
}

/// A version of a database that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its length.
    pub bytes: u64,
    /// The time of its last change, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

/// What one command did. A field is absent if it is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// When the command ended: RFC 3339, UTC, with milliseconds.
    pub time: String,
    /// The number of the entry. It is higher than that of the entry before.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
    /// The command: "push", "pull", "rollback".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The path of the database, as people write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The name of the database in database.yml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The client: "uid 1000 in process 4711 (ruby bin/hotswap cp …)".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The source, as the user typed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The destination of a pull, as the user typed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// `--label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The length of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How the content reached the live database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The longest time for which requests were held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<f64>,
    /// How long the command took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// The identity of the content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The rows of each table of the content, if they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<BTreeMap<String, u64>>,
    /// What the command did to the rows of each table, if it wrote only some tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<BTreeMap<String, TableChange>>,
    /// The version that was replaced, if it was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Kept>,
    /// Why the command failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit status of a command that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
}

impl Entry {
    /// The line of this entry, with its line break. The tables and the end of a text give way if it is too long.
    pub(super) fn into_line(mut self) -> serde_json::Result<Vec<u8>> {
        let line = self.to_line()?;
        if line.len() <= LONGEST_LINE {
            return Ok(line);
        }
        (self.rows, self.tables) = (None, None);
        let line = self.to_line()?;
        if line.len() <= LONGEST_LINE {
            return Ok(line);
        }
        let texts = [
            &mut self.who,
            &mut self.from,
            &mut self.to,
            &mut self.label,
            &mut self.error,
        ];
        texts.into_iter().flatten().for_each(shorten);
        self.to_line()
    }

    fn to_line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(SHORTENED) {
        text.replace_range(end.., "…");
    }
}

/// The content of a line. `None` for a part of one.
pub(super) fn parsed<T: DeserializeOwned>(line: &str) -> Option<T> {
    // A number is JSON, too.
    serde_json::from_str(line).ok().filter(|_| line.starts_with('{'))
}

/// "2026-11-26T12:34:45.042Z"
pub(crate) fn now() -> String {
    rfc3339(SystemTime::now())
}

/// The same for any time.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_1970.as_secs() as libc::time_t;
    // SAFETY: all fields of `tm` are integers, or a pointer that is not read; zero is a value of each.
    let mut utc: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to local values.
    unsafe { libc::gmtime_r(&seconds, &mut utc) };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        utc.tm_year + 1900,
        utc.tm_mon + 1,
        utc.tm_mday,
        utc.tm_hour,
        utc.tm_min,
        utc.tm_sec,
        since_1970.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_time_is_rfc_3339_in_utc() {
        let at = UNIX_EPOCH + Duration::from_millis(1_764_105_300_042);
        assert_eq!(rfc3339(at), "2025-11-25T21:15:00.042Z");
    }

    #[test]
    fn an_event_of_a_later_version_is_read() {
        let entry: Entry = serde_json::from_str("{\"event\":\"merge\",\"sequence\":7,\"new\":[]}").unwrap();
        assert_eq!((entry.event, entry.sequence), (Event::Other, 7));
    }
}
