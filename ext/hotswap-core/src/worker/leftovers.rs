//! The files that a worker keeps beside a database while it works, and how those of a dead one are told from
//! those of a living one.
//!
//! Every name begins with `.<database>.hotswap-`. A staged file is locked (`flock`) by its worker for as long
//! as that lives; a report socket answers for as long.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::protocol::Sidecar;

/// How the name of a staged file ends.
pub const STAGED: &str = ".staged";
const REPORT: &str = ".report";

/// How the names of all files of ours beside `database` begin.
pub fn prefix(database: &Path) -> String {
    format!(
        ".{}.hotswap-",
        database.file_name().unwrap_or_default().to_string_lossy()
    )
}

/// The name of the socket that takes reports about `database`.
pub fn report_name(database: &Path, id: u64) -> OsString {
    format!("{}{id:016x}{REPORT}", prefix(database)).into()
}

/// Everything that SQLite may put beside a database file.
pub fn sidecars(path: &Path) -> impl Iterator<Item = std::path::PathBuf> + '_ {
    [Sidecar::Wal.suffix(), "-shm", Sidecar::Journal.suffix()]
        .into_iter()
        .map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            name.into()
        })
}

/// Removes what dead workers left beside `database`. Returns the names.
pub fn sweep(database: &Path) -> Vec<OsString> {
    let Some(folder) = database.parent() else {
        return vec![];
    };
    let Ok(entries) = std::fs::read_dir(folder) else {
        return vec![];
    };
    let prefix = prefix(database);
    let mut removed = vec![];
    for name in entries.flatten().map(|entry| entry.file_name()) {
        let text = name.to_string_lossy();
        let path = folder.join(&name);
        let ours = text.starts_with(&prefix);
        let dead =
            (text.ends_with(STAGED) && is_unlocked(&path)) || (text.ends_with(REPORT) && is_deaf(&path));
        if ours && dead && std::fs::remove_file(&path).is_ok() {
            sidecars(&path).for_each(|sidecar| drop(std::fs::remove_file(sidecar)));
            removed.push(name);
        }
    }
    removed
}

fn is_unlocked(path: &Path) -> bool {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else {
        return false;
    };
    Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok()
}

fn is_deaf(path: &Path) -> bool {
    let asked = UnixDatagram::unbound().and_then(|socket| socket.connect(path));
    matches!(asked, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leftovers_of_the_dead_go_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        let make = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, b"").unwrap();
            path
        };
        make(".live.sqlite3.hotswap-dead.staged");
        make(".live.sqlite3.hotswap-dead.staged-wal");
        drop(UnixDatagram::bind(folder.path().join(".live.sqlite3.hotswap-1.report")).unwrap());
        let living = make(".live.sqlite3.hotswap-living.staged");
        let locked = Flock::lock(
            std::fs::File::open(&living).unwrap(),
            FlockArg::LockExclusiveNonblock,
        )
        .unwrap();
        let listening = UnixDatagram::bind(folder.path().join(".live.sqlite3.hotswap-2.report")).unwrap();
        for kept in [
            "live.sqlite3",
            "live.sqlite3.hotswap",
            ".other.sqlite3.hotswap-dead.staged",
            "live.sqlite3-wal",
        ] {
            make(kept);
        }

        assert_eq!(sweep(&database).len(), 2);

        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                ".live.sqlite3.hotswap-2.report",
                ".live.sqlite3.hotswap-living.staged",
                ".other.sqlite3.hotswap-dead.staged",
                "live.sqlite3",
                "live.sqlite3-wal",
                "live.sqlite3.hotswap"
            ]
        );
        drop((locked, listening));
    }
}
