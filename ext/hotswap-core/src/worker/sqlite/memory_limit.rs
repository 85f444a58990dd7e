//! Limits the memory that a file from another source may cost.
//!
//! The file determines how much memory SQLite needs for it, and a container that runs out of memory loses a process,
//! or all of them. So SQLite has a limit, and reports when it is too low. The kernel has a limit for this process,
//! for code that SQLite's limit does not cover: the code of an extension, and an SQLite that was compiled not to
//! count its memory (`SQLITE_DEFAULT_MEMSTATUS=0`).

use nix::sys::resource::{getrlimit, rlim_t, setrlimit, Resource};
use rusqlite::Connection;

use crate::sys::memory;

/// The upper bound for SQLite's limit, in bytes.
const MOST: u64 = 256 * 1024 * 1024;
/// The lower bound: less would refuse good files.
const LEAST: u64 = 16 * 1024 * 1024;
/// What the process needs besides SQLite, for its threads and for the words of a schema, in bytes.
const BESIDE: u64 = 192 * 1024 * 1024;

/// The kernel's limit. Dropping it restores the former one; SQLite's limit stays.
#[derive(Debug)]
pub(super) struct MemoryLimit(Option<(rlim_t, rlim_t)>);

impl MemoryLimit {
    /// Sets both limits, for all connections of this process.
    pub(super) fn set(connection: &Connection) -> rusqlite::Result<Self> {
        let most = half_of(memory::left());
        connection.query_row(&format!("PRAGMA hard_heap_limit={most}"), [], |_| Ok(()))?;
        // If the kernel refuses a limit, SQLite's own still applies.
        Ok(Self(limit_growth(most + BESIDE)))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Some((soft, hard)) = self.0 {
            // If the limit cannot be restored, later work has to make do with it.
            let _ = setrlimit(Resource::RLIMIT_DATA, soft, hard);
        }
    }
}

fn half_of(left: Option<u64>) -> u64 {
    left.map_or(MOST, |left| (left / 2).clamp(LEAST, MOST))
}

/// Lets the process take `bytes` more than it has now. Returns the former limits.
fn limit_growth(bytes: u64) -> Option<(rlim_t, rlim_t)> {
    let data = memory::data()?;
    let (soft, hard) = getrlimit(Resource::RLIMIT_DATA).ok()?;
    setrlimit(Resource::RLIMIT_DATA, (data + bytes).min(soft), hard).ok()?;
    Some((soft, hard))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ignored_test;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    const MB: u64 = 1024 * 1024;

    #[test]
    #[ignore = "the limit applies to a process, and other tests run in this one: the next test runs it"]
    fn in_a_process_of_its_own() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let takes = |bytes: u64| Vec::<u8>::new().try_reserve_exact(bytes as usize).is_ok();
        let connection = Connection::open_in_memory().unwrap();
        let before = getrlimit(Resource::RLIMIT_DATA).unwrap();
        let limit = MemoryLimit::set(&connection).unwrap();
        // Without the memory that the process has now, only SQLite's limit is set.
        assert_eq!(takes(MOST + BESIDE + MB), memory::data().is_none());
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
        let limited = ignored_test(module_path!(), "in_a_process_of_its_own")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&limited.stdout);
        assert!(limited.status.success() && said.contains(" 1 passed"), "{said}");
    }

    #[test]
    fn a_file_gets_half_of_what_is_left_within_bounds() {
        for (left, half) in [(None, 256), (Some(100), 50), (Some(2), 16), (Some(100_000), 256)] {
            assert_eq!(half_of(left.map(|left| left * MB)), half * MB);
        }
    }
}
