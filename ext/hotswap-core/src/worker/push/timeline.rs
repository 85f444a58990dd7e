//! What happens while requests wait, for the application's log.
//!
//! The lines are kept with their times, and written when the gates are open again, so that a slow log holds up no
//! request.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::worker::client::Client;
use crate::worker::summary::Spoken;

/// Lines for the log, each with its time since the gates began to close.
#[derive(Debug)]
pub(super) struct Timeline {
    since: Instant,
    lines: Vec<(Duration, String)>,
}

impl Timeline {
    /// Begins at `since`, when the gates began to close.
    pub(super) fn begin(since: Instant) -> Self {
        let first = "swap lock acquired, requests are queued".to_owned();
        Self {
            since,
            lines: vec![(Duration::ZERO, first)],
        }
    }

    /// Adds a line with the current time.
    pub(super) fn note(&mut self, line: impl Into<String>) {
        self.lines.push((self.since.elapsed(), line.into()));
    }

    /// Writes the lines: the first with the time of day, the others with the time since then. The last one tells for
    /// how long the database was closed. Called when the gates are open again, so that no request waits for the log.
    pub(super) fn write(self, closed_for: Duration, client: &Client) {
        let began = SystemTime::now() - self.since.elapsed();
        for (after, line) in self.lines {
            match after {
                Duration::ZERO => client.info(format_args!("{line} (at {})", time_of_day(began))),
                after => client.info(format_args!("{line} (after {})", Spoken(after))),
            }
        }
        client.log(
            "debug",
            format_args!(
                "the database was closed for {:.2} ms",
                closed_for.as_secs_f64() * 1e3
            ),
        );
    }
}

/// The time of day in the machine's time zone: "21:14:03.412".
fn time_of_day(at: SystemTime) -> String {
    let since_1970 = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_1970.as_secs() as libc::time_t;
    // SAFETY: all fields of `tm` are integers, or a pointer that is not read; zero is a value of each.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to local values.
    unsafe { libc::localtime_r(&seconds, &mut local) };
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        local.tm_hour,
        local.tm_min,
        local.tm_sec,
        since_1970.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_day_has_milliseconds() {
        let quarter_past = UNIX_EPOCH + Duration::from_millis(1_764_105_300_042);
        // Time zones differ by quarters of an hour.
        assert!(
            time_of_day(quarter_past).ends_with("5:00.042")
                || time_of_day(quarter_past).ends_with("0:00.042")
        );
    }
}
