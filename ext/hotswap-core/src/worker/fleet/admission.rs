//! Whether a push may begin: whether it can create its files next to the live database, and whether every process that
//! holds a lock on the fence takes part in swaps.

use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Failed, Refused, Result};
use crate::fence::{self, Fence, Lock};
use crate::sys::credentials::Credentials;
use crate::sys::{attributes, process, processes};

/// Opens the fence of `live`, or refuses.
///
/// Without the fence hotswap cannot ask a process to let go. If the fence cannot be created, neither can the staged
/// file or SQLite's journal, so writing in place would not work either.
pub(crate) fn open_fence(live: &Path) -> Result<Fence> {
    Fence::open(live).map_err(|error| no_place_beside(live, error))
}

/// Refuses a push that another program could hold up for ever, or could write past. The error names the process.
pub(crate) fn require_locks(fence: &Fence) -> Result<()> {
    require_members_alone(fence)?;
    require_operation(fence)?;
    require_no_objection(fence)
}

/// Refuses a database that a process has opened without SQLite's locks: neither a push nor a pull can wait for its
/// writes. The error names the process.
pub(crate) fn require_no_objection(fence: &Fence) -> Result<()> {
    let Some(pid) = fence.holder(Lock::Objection) else {
        return Ok(());
    };
    Err(Refused::PastTheLocks {
        database: fence.database().to_owned(),
        process: processes::name(pid as u32),
    }
    .into())
}

/// Refuses if a process holds a lock on the fence, but its user may only read the database. Such a process is no
/// member and never releases the lock. It took the lock when an older version of hotswap let others read the fence,
/// and cannot take it again.
fn require_members_alone(fence: &Fence) -> Result<()> {
    let path = fence::path_of(fence.database());
    let metadata = fence.file().metadata().on_path("cannot stat", &path)?;
    // The mode does not show what an access control list allows.
    if attributes::has_access_list(fence.file()) {
        return Ok(());
    }
    let mut holders = fence.holders().into_iter();
    let Some((pid, user)) = holders.find_map(|pid| Some((pid, reader(pid, &metadata)?))) else {
        return Ok(());
    };
    Err(Refused::ReaderHoldsLock {
        lock_file: path,
        process: processes::name(pid),
        uid: user,
    }
    .into())
}

/// Refuses if a process shares the operation lock. Only workers take this lock, and they take it exclusively.
fn require_operation(fence: &Fence) -> Result<()> {
    let Some(pid) = fence.sharer(Lock::Operation) else {
        return Ok(());
    };
    Err(Refused::StrangeLock {
        lock_file: fence::path_of(fence.database()),
        process: match pid {
            1.. => processes::name(pid as u32),
            _ => "a process in another container".into(),
        },
    }
    .into())
}

/// The user of the process, if that user may not write `file`.
fn reader(pid: u32, file: &Metadata) -> Option<u32> {
    let access = Access {
        owner: file.uid(),
        group: file.gid(),
        mode: file.mode(),
    };
    access.reader(&process::credentials(pid)?)
}

/// Who may write a file, according to its mode.
struct Access {
    owner: u32,
    group: u32,
    mode: u32,
}

impl Access {
    /// The user of a process with these credentials, if that user may not write the file.
    fn reader(&self, of: &Credentials) -> Option<u32> {
        let is_member = of.group == self.group || of.groups.contains(&self.group);
        let class = match (of.user == self.owner, is_member) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        (!of.ignores_modes && self.mode >> class & 0o2 == 0).then_some(of.user)
    }
}

/// The refusal if `error` says that this user may not create or write a file next to `live`.
pub(crate) fn no_place_beside(live: &Path, error: Error) -> Error {
    let forbidden = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    match &error {
        Error::Failed(Failed::Io { source, .. }) if forbidden.contains(&source.kind()) => {}
        _ => return error,
    }
    let is_closed = |fence: &PathBuf| {
        fence.exists() && nix::unistd::access(fence, nix::unistd::AccessFlags::W_OK).is_err()
    };
    Refused::NoPlaceBeside {
        what: error.to_string(),
        folder: live.parent().unwrap_or(Path::new("/")).to_owned(),
        lock_file: Some(fence::path_of(live)).filter(is_closed),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: u32, group: u32, groups: &[u32]) -> Credentials {
        Credentials {
            user,
            group,
            groups: groups.to_owned(),
            ignores_modes: false,
        }
    }

    #[test]
    fn a_reader_is_a_user_whose_class_may_not_write_and_who_has_no_capability_for_it() {
        let mode = |mode| Access {
            owner: 1000,
            group: 33,
            mode,
        };
        let root = Credentials {
            ignores_modes: true,
            ..credentials(0, 0, &[0])
        };
        for (mode, process, reader) in [
            (mode(0o664), credentials(1000, 1000, &[]), None),
            (mode(0o464), credentials(1000, 33, &[]), Some(1000)),
            (mode(0o664), credentials(2000, 33, &[]), None),
            (mode(0o664), credentials(2000, 2000, &[4, 33]), None),
            (mode(0o644), credentials(2000, 2000, &[4, 33]), Some(2000)),
            (mode(0o664), credentials(2000, 2000, &[4]), Some(2000)),
            (mode(0o666), credentials(2000, 2000, &[4]), None),
            (mode(0o444), root, None),
        ] {
            assert_eq!(mode.reader(&process), reader, "{:o} {process:?}", mode.mode);
        }
    }
}
