//! The file that was the live one until the rename. The worker keeps it locked.
//!
//! A process may have opened it at the last moment. If that process locked it after the swap, it would open the
//! *new* database's WAL by its path, and damage it. So the file stays locked for as long as any process has it open.
//! This has no time limit: the worker waits, long after its command has ended, and holds nothing else.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::lease::Lease;
use crate::holders::Strangers;
use crate::sys::processes::Bound;
use crate::visible::Shown;
use crate::worker::client::Log;

/// How long a process may take to open a file by a path that now leads to another one.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// The same if the kernel does not report such a process, so that only a search finds it.
const SEARCH: Duration = Duration::from_secs(1);
/// How often the worker checks which processes have the file open.
const LOOK: Duration = Duration::from_secs(5);

/// The replaced file, and the locks that this process holds on it.
#[derive(Debug)]
pub(crate) struct Replaced {
    connection: Connection,
    lease: Option<Lease>,
    descriptor: RawFd,
    path: PathBuf,
    told: Vec<String>,
}

impl Replaced {
    /// Takes a file that was at `path`. `connection` holds SQLite's lock on it, and `descriptor` has the lease.
    pub(crate) fn new(
        connection: Connection,
        lease: Option<Lease>,
        descriptor: RawFd,
        path: PathBuf,
    ) -> Self {
        Self {
            connection,
            lease,
            descriptor,
            path,
            told: Vec::new(),
        }
    }

    /// Waits until no other process has the file open. The lock goes with the process.
    pub(crate) fn keep_locked(mut self, log: &Log) {
        match self.lease.take() {
            Some(lease) => self.wait_for(&lease, log),
            None => self.search(log),
        }
        if !self.told.is_empty() {
            let path = self.path.shown();
            log.write(
                "info",
                format_args!("no process has the replaced file of {path} open any more; the worker ends"),
            );
        }
        // Closing the connection would make SQLite remove files by the path, which is the new database's.
        std::mem::forget(self.connection);
    }

    fn wait_for(&mut self, lease: &Lease, log: &Log) {
        let begun = Instant::now();
        while lease.is_unbroken() {
            if begun.elapsed() > ON_THE_WAY {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        lease.release();
        keep_nothing_else();
        let mut nap = Duration::from_millis(5);
        let mut looked: Option<Instant> = None;
        while !lease.renew() {
            if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
                looked = Some(Instant::now());
                self.tell(&self.strangers(), log);
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(250));
        }
    }

    fn search(&mut self, log: &Log) {
        let begun = Instant::now();
        loop {
            let strangers = self.strangers();
            if !strangers.names.is_empty() {
                keep_nothing_else();
                self.tell(&strangers, log);
                std::thread::sleep(LOOK);
            } else if begun.elapsed() > SEARCH {
                return;
            } else {
                std::thread::sleep(SEARCH / 10);
            }
        }
    }

    fn strangers(&self) -> Strangers {
        Strangers::of_descriptor(self.descriptor, Bound::Patient)
    }

    fn tell(&mut self, strangers: &Strangers, log: &Log) {
        let who = strangers.phrase();
        if self.told.contains(&who) {
            return;
        }
        log.write(
            "warn",
            format_args!(
                "{who} still has the replaced file of {} open. The worker (process {}) keeps that file locked until it is \
                 closed: otherwise that process could damage the new database",
                self.path.shown(),
                std::process::id()
            ),
        );
        self.told.push(who);
    }
}

/// Gives up what could be in another program's way while this process lives: its working folder, and the output that
/// it shares with the server.
fn keep_nothing_else() {
    // Errors are ignored: the process would be in the way, but the database is just as safe.
    let _ = nix::unistd::chdir("/");
    let _ = nix::unistd::dup2_stderr(std::io::stdout());
}
