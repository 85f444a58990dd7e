//! How much memory a file may cost that somebody else made.
//!
//! It depends on the file what SQLite needs for it, and a container that runs out of memory loses a process, or all of
//! them. So SQLite has a limit, and says so where that is too little. The kernel has one for this process, for the code
//! that does not keep to SQLite's: that of an extension, and an SQLite that was compiled not to count what it takes
//! (`SQLITE_DEFAULT_MEMSTATUS=0`).

use std::fs;

use nix::sys::resource::{getrlimit, rlim_t, setrlimit, Resource};
use rusqlite::Connection;

use super::memory;

/// The most that SQLite may take, in bytes.
const MOST: u64 = 256 * 1024 * 1024;
/// The least: less would refuse good files.
const LEAST: u64 = 16 * 1024 * 1024;
/// What the process needs beside SQLite, for its threads and for the words of a schema, in bytes.
const BESIDE: u64 = 192 * 1024 * 1024;

/// The kernel's limit. Dropping it takes it back; SQLite's stays.
#[derive(Debug)]
pub struct MemoryLimit(Option<(rlim_t, rlim_t)>);

impl MemoryLimit {
    /// Sets both, for all connections of this process.
    pub fn set(connection: &Connection) -> rusqlite::Result<Self> {
        let most = half_of(memory::left());
        connection.query_row(&format!("PRAGMA hard_heap_limit={most}"), [], |_| Ok(()))?;
        // Where the kernel sets none, SQLite keeps to its own.
        Ok(Self(limit_growth(most + BESIDE)))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Some((soft, hard)) = self.0 {
            // Where it stays, what comes next has to make do with it.
            let _ = setrlimit(Resource::RLIMIT_DATA, soft, hard);
        }
    }
}

fn half_of(left: Option<u64>) -> u64 {
    left.map_or(MOST, |left| (left / 2).clamp(LEAST, MOST))
}

/// Allows so many bytes more than the process has now. Returns the limits that there were.
fn limit_growth(bytes: u64) -> Option<(rlim_t, rlim_t)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_DATA).ok()?;
    setrlimit(Resource::RLIMIT_DATA, (data(&status)? + bytes).min(soft), hard).ok()?;
    Some((soft, hard))
}

/// What counts for the limit, in bytes.
fn data(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::super::systems_sqlite::adopt_the_systems_sqlite;
    use super::*;

    const MB: u64 = 1024 * 1024;

    /// Not a test: the limit is that of a process, and other tests run in this one.
    #[test]
    #[ignore]
    fn in_a_process_of_its_own() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let takes = |bytes: u64| Vec::<u8>::new().try_reserve_exact(bytes as usize).is_ok();
        let connection = Connection::open_in_memory().unwrap();
        let before = getrlimit(Resource::RLIMIT_DATA).unwrap();
        let limit = MemoryLimit::set(&connection).unwrap();
        assert!(!takes(MOST + BESIDE + MB));
        assert!(takes(LEAST));
        let sqlite = |bytes: u64| {
            let value = format!("SELECT length(CAST(zeroblob({bytes}) AS TEXT) || 'x')");
            connection.query_row(&value, [], |_| Ok(()))
        };
        assert!(sqlite(MOST + MB).is_err() && sqlite(LEAST / 4).is_ok());
        drop(limit);
        assert_eq!(getrlimit(Resource::RLIMIT_DATA).unwrap(), before);
        assert!(takes(MOST + BESIDE + MB));
    }

    #[test]
    fn sqlite_and_all_other_code_keep_to_the_limit_until_it_is_dropped() {
        let limited = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "worker::memory_limit::tests::in_a_process_of_its_own",
            ])
            .status();
        assert!(limited.unwrap().success());
    }

    #[test]
    fn a_file_gets_half_of_what_is_left_within_bounds() {
        for (left, half) in [(None, 256), (Some(100), 50), (Some(2), 16), (Some(100_000), 256)] {
            assert_eq!(half_of(left.map(|left| left * MB)), half * MB);
        }
    }

    #[test]
    fn the_kernel_says_what_counts() {
        assert!(data(&fs::read_to_string("/proc/self/status").unwrap()).unwrap() > 0);
        assert_eq!(data("VmPeak:\t 1 kB\nVmData:\t 2048 kB\n"), Some(2 * MB));
    }
}
