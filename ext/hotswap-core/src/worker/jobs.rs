//! Jobs of Solid Queue that a push of its database would take away without a word.

use rusqlite::{Connection, OptionalExtension};

/// Nobody counts further.
const MOST: usize = 1000;

/// What to tell of jobs that wait in the live database and are not in the one that replaces it. None where there are
/// none, or no such table: whatever is wrong with either file is for the checks to say.
pub fn lost(live: &Connection, incoming: &Connection) -> Option<String> {
    let text = match missing(live, incoming) {
        Ok(0) | Err(_) => return None,
        Ok(1) => "one job that waits in the live queue is".to_owned(),
        Ok(MOST) => format!("{MOST} or more jobs that wait in the live queue are"),
        Ok(count) => format!("{count} jobs that wait in the live queue are"),
    };
    Some(format!("{text} not in the new database, and will not be run"))
}

fn missing(live: &Connection, incoming: &Connection) -> rusqlite::Result<usize> {
    let mut waiting = live.prepare(
        "SELECT active_job_id FROM solid_queue_jobs WHERE finished_at IS NULL AND active_job_id NOT NULL",
    )?;
    let mut find = incoming.prepare("SELECT 1 FROM solid_queue_jobs WHERE active_job_id = ?")?;
    let mut rows = waiting.query([])?;
    let mut count = 0;
    while let (Some(row), true) = (rows.next()?, count < MOST) {
        let job: String = row.get(0)?;
        if find.query_row([job], |_| Ok(())).optional()?.is_none() {
            count += 1;
        }
    }
    Ok(count)
}
