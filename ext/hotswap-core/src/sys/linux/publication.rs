//! A file without a name in which a process publishes something about itself. Other processes of the same user find it
//! in `/proc`. It goes with the process, however that dies.

use std::fs::File;
use std::path::Path;

use nix::sys::memfd::{memfd_create, MFdFlags};

use super::process::pids;
use crate::sys::checksummed;
use crate::sys::fork::{self, CloseInChild};

/// A publication of this process. A forked child does not keep it.
#[derive(Debug)]
pub struct Publication(File, #[allow(dead_code)] CloseInChild);

impl Publication {
    /// A publication without content. `None` if the kernel provides no such file.
    pub fn new(name: &str) -> Option<Self> {
        fork::without_fork(|| {
            let file = file_without_a_name(name).ok()?;
            let private = CloseInChild::keep(&file);
            Some(Self(file, private))
        })
    }

    /// Replaces the content.
    pub fn publish(&self, content: &[u8]) {
        checksummed::write(&self.0, content);
    }
}

fn file_without_a_name(name: &str) -> nix::Result<File> {
    // Without this flag the kernel may refuse, or log a warning. Before 6.3 it does not know the flag.
    let sealed = MFdFlags::from_bits_retain(libc::MFD_NOEXEC_SEAL);
    memfd_create(name, MFdFlags::MFD_CLOEXEC | sealed)
        .or_else(|_| memfd_create(name, MFdFlags::MFD_CLOEXEC))
        .map(File::from)
}

/// What each process publishes under `name`, as far as this user may inspect it.
pub fn all(name: &str) -> impl Iterator<Item = (u32, Vec<Vec<u8>>)> + '_ {
    pids().map(|pid| (pid, published_by(pid, name)))
}

/// What the process publishes under `name`.
fn published_by(pid: u32, name: &str) -> Vec<Vec<u8>> {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .map(|entry| entry.path())
        // Compares the name of a descriptor, because that asks no file system.
        .filter(|path| std::fs::read_link(path).is_ok_and(|link| is_link_to(&link, name)))
        .filter_map(|path| content_of(&path))
        .collect()
}

/// Whether `link`, which `/proc` shows for a descriptor, leads to a publication under `name`.
pub fn is_link_to(link: &Path, name: &str) -> bool {
    link == Path::new(&format!("/memfd:{name} (deleted)"))
}

/// The content of the publication to which `descriptor` leads, a path in `/proc`.
pub fn content_of(descriptor: &Path) -> Option<Vec<u8>> {
    checksummed::read(&File::open(descriptor).ok()?)
}
