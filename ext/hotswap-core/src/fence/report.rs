//! Reports: each tells the worker, in one datagram, why a member could not let go.
//!
//! A report decides nothing. It allows a refusal to name the request, its age, and its process.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Board;
use crate::error::{Context, Result};
use crate::leftovers;
use crate::sys::datagram;
use crate::sys::processes;
use crate::sys::random;
use crate::sys::socket::Address;

/// The report of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The pid, in the process's own namespace.
    pub pid: u32,
    /// The name of the process: "process 4711 (bin/rails console)".
    pub name: String,
    /// The attempt that the report is about.
    pub attempt: u64,
    /// What keeps the member.
    pub why: Why,
    /// The units that were inside the gate before the worker asked, and still are.
    pub running: Vec<Running>,
}

/// What keeps a member from letting go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// Work that was running when the worker asked is still running. The gate is open.
    Working,
    /// Work inside took longer than the gate may be closed.
    OutlastsThePause,
    /// The application holds `Hotswap::Middleware::SWAP_LOCK`.
    SwapLock,
    /// A connection could not be closed. The text is the application's.
    Connection(String),
}

/// A unit of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// What the unit is: "GET /reports".
    pub what: String,
    /// How long it had been running when the member reported it.
    pub age: Duration,
}

/// The size of a datagram, and so the limit for a report.
const LONGEST: usize = 16 * 1024;
/// For how many reports of that length there is room.
const AT_ONCE: usize = 16;

/// Sends a report to the worker that posted `board` for `database`. A worker that has gone misses it.
pub(crate) fn send(database: &Path, board: &Board, why: Why, mut running: Vec<Running>) {
    running.truncate(20);
    for one in &mut running {
        one.what = one.what.chars().take(200).collect();
    }
    let report = Report {
        pid: std::process::id(),
        name: processes::name(std::process::id()),
        attempt: board.attempt,
        why,
        running,
    };
    let _ = try_send(database, board.report, &report);
}

fn try_send(database: &Path, id: u64, report: &Report) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    datagram::room_to_send(&socket, LONGEST);
    let address = Address::in_folder(folder_of(database), leftovers::report_name(id))?;
    socket.send_to(&serde_json::to_vec(report)?, &address)?;
    Ok(())
}

fn folder_of(database: &Path) -> &Path {
    database.parent().unwrap_or(Path::new("/"))
}

/// The worker's side: receives reports, and keeps the newest of each process.
#[derive(Debug)]
pub struct Collector {
    socket: UnixDatagram,
    path: PathBuf,
    id: u64,
    attempt: u64,
    latest: Vec<(Report, Instant)>,
}

impl Collector {
    /// Opens the socket next to `database`.
    pub fn open(database: &Path) -> Result<Self> {
        let id = random::number()?;
        let name = leftovers::report_name(id);
        let path = database.with_file_name(&name);
        let address =
            Address::in_folder(folder_of(database), &name).on_path("cannot open the folder of", database)?;
        let socket = UnixDatagram::bind(&address).on_path("cannot create the socket", &path)?;
        socket
            .set_nonblocking(true)
            .on_path("cannot set up the socket", &path)?;
        datagram::room_to_receive(&socket, AT_ONCE * LONGEST);
        Ok(Self {
            socket,
            path,
            id,
            attempt: 0,
            latest: Vec::new(),
        })
    }

    /// The number of the socket, for the board.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// From now on accepts reports about `attempt`, and forgets those about an earlier one.
    pub fn begin(&mut self, attempt: u64) {
        self.attempt = attempt;
        self.latest.clear();
    }

    /// The newest report of each process, and when it arrived.
    pub fn reports(&mut self) -> &[(Report, Instant)] {
        self.take();
        &self.latest
    }

    fn take(&mut self) {
        let mut buffer = [0; LONGEST];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            // Ignores anything that does not parse, and reports about another attempt.
            let report = serde_json::from_slice::<Report>(&buffer[..length]).ok();
            if let Some(report) = report.filter(|report| report.attempt == self.attempt) {
                self.latest.retain(|(earlier, _)| earlier.pid != report.pid);
                self.latest.push((report, Instant::now()));
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Otherwise the next push removes it with the other leftovers.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_report_of_a_process_reaches_the_worker_by_a_path_of_any_length() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let database = deep.join("live.sqlite3");
        let mut collector = Collector::open(&database).unwrap();
        let about = |attempt| Board {
            attempt,
            report: collector.id(),
            ..Board::default()
        };
        let (first, second) = (about(1), about(2));
        let slow = |seconds| {
            vec![Running {
                what: "GET /slow".into(),
                age: Duration::from_secs(seconds),
            }]
        };
        collector.begin(1);
        send(&database, &first, Why::Working, slow(1));
        send(&database, &first, Why::OutlastsThePause, slow(2));
        send(&database, &second, Why::SwapLock, vec![]);
        let said: Vec<_> = collector
            .reports()
            .iter()
            .map(|(report, _)| report.clone())
            .collect();
        let expected = Report {
            pid: std::process::id(),
            name: processes::name(std::process::id()),
            attempt: 1,
            why: Why::OutlastsThePause,
            running: slow(2),
        };
        assert_eq!(said, [expected]);
        collector.begin(2);
        send(&database, &first, Why::Working, slow(1));
        assert!(
            collector.reports().is_empty(),
            "it is about an attempt that is over"
        );
        drop(collector);
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
    }
}
