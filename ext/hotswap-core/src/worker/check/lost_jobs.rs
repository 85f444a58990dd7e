//! Jobs of Solid Queue that a push of the queue's database would lose.

use rusqlite::{Connection, OptionalExtension};

/// Counting stops here.
const MOST: usize = 1000;

/// The warning about jobs that wait in the live database and are missing from the new one. None if there are none,
/// or if there is no such table: the checks report what is wrong with either file. Does not count jobs after `last`.
pub(super) fn lost(live: &Connection, incoming: &Connection, last: i64) -> Option<String> {
    let text = match missing(live, incoming, last) {
        Ok(0) | Err(_) => return None,
        Ok(1) => "1 pending job is".to_owned(),
        Ok(MOST) => format!("{MOST} or more pending jobs are"),
        Ok(count) => format!("{count} pending jobs are"),
    };
    Some(format!("{text} missing from the new database and will not run"))
}

/// The id of the newest job in this database's queue, or 0 if the queue is empty. None if there is no queue.
pub(super) fn last(live: &Connection) -> Option<i64> {
    let newest = "SELECT coalesce(max(id), 0) FROM solid_queue_jobs";
    live.query_row(newest, [], |row| row.get(0)).ok()
}

/// How many unfinished jobs were enqueued after `last`. Requests wait while this runs, so it reads nothing else.
pub(super) fn since(last: i64, live: &Connection) -> usize {
    let count = "SELECT count(*) FROM (SELECT 1 FROM solid_queue_jobs WHERE id > ?1 AND finished_at IS NULL LIMIT ?2)";
    live.query_row(count, (last, MOST as i64), |row| row.get::<_, i64>(0))
        .map_or(0, |count| count as usize)
}

/// The warning about this many jobs.
pub(super) fn late(count: usize) -> Option<String> {
    let text = match count {
        0 => return None,
        1 => "1 job that was enqueued while the push waited is".to_owned(),
        MOST => format!("{MOST} or more jobs that were enqueued while the push waited are"),
        count => format!("{count} jobs that were enqueued while the push waited are"),
    };
    Some(format!("{text} missing from the new database and will not run"))
}

fn missing(live: &Connection, incoming: &Connection, last: i64) -> rusqlite::Result<usize> {
    let mut waiting = live.prepare(
        "SELECT active_job_id FROM solid_queue_jobs WHERE finished_at IS NULL AND active_job_id NOT NULL AND id <= ?",
    )?;
    let mut find = incoming.prepare("SELECT 1 FROM solid_queue_jobs WHERE active_job_id = ?")?;
    let mut rows = waiting.query([last])?;
    let mut count = 0;
    while let (Some(row), true) = (rows.next()?, count < MOST) {
        let job: String = row.get(0)?;
        if find.query_row([job], |_| Ok(())).optional()?.is_none() {
            count += 1;
        }
    }
    Ok(count)
}
