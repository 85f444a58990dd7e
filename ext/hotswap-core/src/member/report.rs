//! Reports: why a member could not let go, told to the worker in one datagram.
//!
//! A report decides nothing. It exists so that a refusal can name the request, since when, in which process.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::random;
use crate::server::reachable;
use crate::worker::{leftovers, strangers};

/// What one member had to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The process, as it sees itself.
    pub pid: u32,
    /// The same for people: "process 4711 (bin/rails console)".
    pub name: String,
    /// What it could not do, as the end of a sentence: "did not come to rest within the pause".
    pub what: String,
    /// What was running inside its gate.
    pub running: Vec<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.name, self.what)?;
        if !self.running.is_empty() {
            write!(out, ": {}", self.running.join(", "))?;
        }
        Ok(())
    }
}

/// Room for a datagram, and so for what a member may say.
const LONGEST: usize = 16 * 1024;

/// Sends a report to the worker that posted `id` on the board of `database`. A worker that is gone, or too
/// busy to listen, misses it.
pub(super) fn send(database: &Path, id: u64, what: &str, running: &[String]) {
    let report = Report {
        pid: std::process::id(),
        name: strangers::name(std::process::id()),
        what: what.into(),
        running: running
            .iter()
            .take(20)
            .map(|one| one.chars().take(200).collect())
            .collect(),
    };
    let _ = try_send(database, id, &report);
}

fn try_send(database: &Path, id: u64, report: &Report) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let folder = folder_of(database)?;
    let address = reachable(&folder, leftovers::report_name(id));
    socket.send_to(&serde_json::to_vec(report)?, address)?;
    Ok(())
}

fn folder_of(database: &Path) -> io::Result<File> {
    File::open(database.parent().unwrap_or(Path::new("/")))
}

/// The worker's side: takes reports, and keeps the newest of each process.
#[derive(Debug)]
pub struct Collector {
    socket: UnixDatagram,
    path: PathBuf,
    id: u64,
    latest: Vec<Report>,
}

impl Collector {
    /// Opens the socket beside `database`.
    pub fn open(database: &Path) -> Result<Self> {
        let id = random::number()?;
        let name = leftovers::report_name(id);
        let path = database.with_file_name(&name);
        let folder = folder_of(database).on_path("cannot open the folder of", database)?;
        let socket =
            UnixDatagram::bind(reachable(&folder, &name)).on_path("cannot make the socket", &path)?;
        socket
            .set_nonblocking(true)
            .on_path("cannot set up the socket", &path)?;
        Ok(Self {
            socket,
            path,
            id,
            latest: Vec::new(),
        })
    }

    /// What goes on the board.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Forgets what was said about an earlier attempt.
    pub fn forget(&mut self) {
        self.take();
        self.latest.clear();
    }

    /// The newest report of each process.
    pub fn reports(&mut self) -> &[Report] {
        self.take();
        &self.latest
    }

    fn take(&mut self) {
        let mut buffer = [0; LONGEST];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            // A datagram that is no report is nobody's we know.
            if let Ok(report) = serde_json::from_slice::<Report>(&buffer[..length]) {
                self.latest.retain(|earlier| earlier.pid != report.pid);
                self.latest.push(report);
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // It is removed with the leftovers of the next push otherwise.
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
        send(
            &database,
            collector.id(),
            "is still working",
            &["GET /slow for 1.0 s".into()],
        );
        send(
            &database,
            collector.id(),
            "did not come to rest",
            &["GET /slow for 2.0 s".into()],
        );
        let said: Vec<_> = collector.reports().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [format!(
                "{} did not come to rest: GET /slow for 2.0 s",
                strangers::name(std::process::id())
            )]
        );
        collector.forget();
        assert!(collector.reports().is_empty());
        drop(collector);
        assert_eq!(std::fs::read_dir(&deep).unwrap().count(), 0);
    }
}
