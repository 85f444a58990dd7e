//! Declares to workers which fences this process holds.
//!
//! A fence can be replaced under a running application: its folder is restored, or a tool removes files that it does
//! not know. A worker that opens the new fence finds no member there, although processes have the database open. So
//! each member declares which fence it holds for which path, in a file without a name that it keeps open. A worker
//! finds that file in `/proc`, and waits for the members that hold another fence than its own.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::sys::memfd::{memfd_create, MFdFlags};
use xxhash_rust::xxh3::xxh3_64;

use crate::sys::fork::{self, CloseInChild};
use crate::sys::identity::Identity;

const NAME: &str = "hotswap-member";
/// The length and the checksum of the content, eight bytes each, come before it.
const HEAD: usize = 16;

/// The hash of a path, and the fence that the process holds for it. No fence means that the process is about to open
/// one.
type Entry = (u64, Option<Identity>);

/// The declaration of this process.
#[derive(Debug)]
pub(super) struct Declaration {
    entries: Vec<Entry>,
    file: Option<(File, CloseInChild)>,
}

impl Declaration {
    /// Declares nothing yet. If the kernel provides no such file, workers have to trust that this process follows
    /// its fence in time.
    pub(super) fn new() -> Self {
        // A forked child is no member, and must not keep its parent's declaration.
        let make = || {
            let file = file_without_a_name().ok()?;
            let private = CloseInChild::keep(&file);
            Some((file, private))
        };
        Self {
            entries: Vec::new(),
            file: fork::without_fork(make),
        }
    }

    /// Declares which fence this process holds for `path`. Replaces an earlier declaration.
    pub(super) fn declare(&mut self, path: &Path, fence: Option<Identity>) {
        let entry = (hash(path), fence);
        match self.entries.iter_mut().find(|(known, _)| *known == entry.0) {
            Some(known) if *known == entry => return,
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        self.publish();
    }

    /// Withdraws the declaration for `path`.
    pub(super) fn withdraw(&mut self, path: &Path) {
        let hash = hash(path);
        self.entries.retain(|(known, _)| *known != hash);
        self.publish();
    }

    /// The fence declared for `path`.
    pub(super) fn fence_of(&self, path: &Path) -> Option<Identity> {
        let hash = hash(path);
        self.entries.iter().find(|(known, _)| *known == hash)?.1
    }

    fn publish(&self) {
        let Some((file, _)) = &self.file else { return };
        let content = serde_json::to_vec(&self.entries).unwrap_or_default();
        let mut bytes = Vec::with_capacity(HEAD + content.len());
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(xxh3_64(&content).to_le_bytes());
        bytes.extend(content);
        // The file is in memory. Without room for it a worker reads the old declaration, and waits.
        let _ = file.write_all_at(&bytes, 0);
    }
}

fn file_without_a_name() -> nix::Result<File> {
    // Without this flag the kernel may refuse, or log a warning. Before 6.3 it does not know the flag.
    let sealed = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    memfd_create(NAME, MFdFlags::MFD_CLOEXEC | sealed)
        .or_else(|_| memfd_create(NAME, MFdFlags::MFD_CLOEXEC))
        .map(File::from)
}

fn hash(path: &Path) -> u64 {
    xxh3_64(path.as_os_str().as_bytes())
}

/// A process that has joined the fleet of a path without holding the fence that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Astray {
    /// The pid of the process.
    pub pid: u32,
    /// Whether it holds another fence, and is not just about to join.
    pub holds_another: bool,
}

/// Finds processes that are members for any of `paths`, which all mean one database, without holding `fence`. Sees
/// only the processes that this user may inspect.
pub fn astray(paths: &[&Path], fence: Identity) -> Vec<Astray> {
    let hashes: Vec<_> = paths.iter().map(|path| hash(path)).collect();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let find = |pid| {
        let declared = declared_by(pid)
            .into_iter()
            .filter(|(path, _)| hashes.contains(path));
        let fences: Vec<_> = declared.map(|(_, fence)| fence).collect();
        let is_astray = !fences.is_empty() && !fences.contains(&Some(fence));
        is_astray.then_some(Astray {
            pid,
            holds_another: fences.iter().any(Option::is_some),
        })
    };
    pids.filter_map(find).collect()
}

fn declared_by(pid: u32) -> Vec<Entry> {
    let name = format!("/memfd:{NAME} (deleted)");
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .map(|entry| entry.path())
        // Compares the name of a descriptor, because that asks no file system.
        .filter(|path| std::fs::read_link(path).is_ok_and(|link| link == Path::new(&name)))
        .filter_map(|path| File::open(path).ok())
        .filter_map(|file| read(&file))
        .flatten()
        .collect()
}

/// A reader can see half of a write. Then the checksum is wrong, and it reads again.
fn read(file: &File) -> Option<Vec<Entry>> {
    (0..100).find_map(|_| read_once(file).ok())
}

fn read_once(file: &File) -> io::Result<Vec<Entry>> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let length = file.metadata()?.len().saturating_sub(HEAD as u64);
    let mut content = vec![0; word(0).min(length) as usize];
    file.read_exact_at(&mut content, HEAD as u64)?;
    match xxh3_64(&content) == word(8) {
        true => Ok(serde_json::from_slice(&content)?),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(inode: u64) -> Identity {
        Identity { device: 1, inode }
    }

    #[test]
    fn a_process_that_holds_another_fence_for_the_path_is_astray() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (
            folder.path().join("live.sqlite3"),
            folder.path().join("other.sqlite3"),
        );
        let own = std::process::id();
        let here = |paths: &[&Path], fence| {
            let found = astray(paths, identity(fence));
            found.into_iter().find(|astray| astray.pid == own)
        };
        let mut declaration = Declaration::new();
        assert_eq!(here(&[&path], 1), None);

        declaration.declare(&path, None);
        let joining = Astray {
            pid: own,
            holds_another: false,
        };
        assert_eq!(here(&[&path], 1), Some(joining));

        declaration.declare(&path, Some(identity(1)));
        assert_eq!(here(&[&path], 1), None);
        let lost = Astray {
            pid: own,
            holds_another: true,
        };
        assert_eq!(here(&[&other, &path], 2), Some(lost));
        assert_eq!(here(&[&other], 2), None);

        declaration.declare(&other, Some(identity(2)));
        assert_eq!(here(&[&other, &path], 2), None);
        declaration.withdraw(&other);
        declaration.withdraw(&path);
        assert_eq!(here(&[&other, &path], 2), None);
    }
}
