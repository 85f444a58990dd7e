//! The file that was the live one until the rename. The worker keeps it locked.
//!
//! A process may have opened it at the last moment. If that process locked it after the swap, it would open the
//! *new* database's WAL by its path, and damage it. So the file stays locked for as long as any process has it open.
//! This has no time limit: the worker waits, long after its command has ended, and holds nothing else.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
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
        if !self.wait(Some(Instant::now()), log) {
            keep_nothing_else();
            self.wait(None, log);
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

    /// Unlocks the file, which is the previous version now, so that this process may swap it back. Returns it, still
    /// locked, if a process has it open at the `deadline`.
    pub(crate) fn unlock(mut self, deadline: Instant, log: &Log) -> Option<Self> {
        // Otherwise SQLite could remove a WAL by the path, which is the new database's.
        let keeps_wal = self
            .connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        match matches!(keeps_wal, Ok(true)) && self.wait(Some(deadline), log) {
            true => None,
            false => Some(self),
        }
    }

    /// Waits until no other process has the file open, but not beyond the `deadline`. Returns whether that is so.
    fn wait(&mut self, deadline: Option<Instant>, log: &Log) -> bool {
        match self.lease.take() {
            Some(lease) => {
                let alone = self.wait_for(&lease, deadline, log);
                self.lease = Some(lease);
                alone
            }
            None => self.search(deadline, log),
        }
    }

    fn wait_for(&mut self, lease: &Lease, deadline: Option<Instant>, log: &Log) -> bool {
        let begun = Instant::now();
        while lease.is_unbroken() {
            if begun.elapsed() > ON_THE_WAY {
                return true;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        lease.release();
        let mut nap = Duration::from_millis(5);
        let mut looked: Option<Instant> = None;
        while !lease.renew() {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return false;
            }
            if looked.is_none_or(|looked| looked.elapsed() > LOOK) {
                looked = Some(Instant::now());
                self.tell(&self.strangers(), log);
            }
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(250));
        }
        true
    }

    fn search(&mut self, deadline: Option<Instant>, log: &Log) -> bool {
        let begun = Instant::now();
        loop {
            let strangers = self.strangers();
            if !strangers.names.is_empty() {
                if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                    return false;
                }
                self.tell(&strangers, log);
                std::thread::sleep(deadline.map_or(LOOK, |_| SEARCH / 10));
            } else if begun.elapsed() > SEARCH {
                return true;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::worker::client::Client;
    use crate::worker::live::exclusive::Exclusive;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    fn open(path: &std::path::Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = wal; CREATE TABLE IF NOT EXISTS t (x); INSERT INTO t VALUES (1)",
            )
            .unwrap();
        connection
    }

    fn rows(connection: &Connection) -> i64 {
        connection
            .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn unlocking_the_replaced_file_leaves_the_new_database_its_wal() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let [live, previous, new] = ["live", "live.previous", "new"].map(|name| folder.path().join(name));
        drop(open(&live));
        let exclusive = Exclusive::take(live.clone(), Duration::from_secs(5)).unwrap();
        drop(open(&new));
        std::fs::hard_link(&live, &previous).unwrap();
        std::fs::rename(&new, &live).unwrap();
        let application = open(&live);
        let wal = folder.path().join("live-wal");
        let before = std::fs::metadata(&wal).unwrap();

        let (client, _others) = Client::of_a_test();
        let deadline = Instant::now() + Duration::from_secs(5);
        assert!(exclusive.replaced().unlock(deadline, &client.log).is_none());

        let after = std::fs::metadata(&wal).unwrap();
        assert_eq!((after.ino(), after.len()), (before.ino(), before.len()));
        assert_eq!(rows(&application), 2);
        // In this process, too, SQLite knows of no lock on the version any more.
        assert_eq!(rows(&open(&previous)), 2);
    }
}
