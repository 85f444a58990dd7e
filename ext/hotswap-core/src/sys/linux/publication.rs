//! A file without a name in which a process publishes something about itself. Other processes of the same user find it
//! in `/proc`. It goes with the process, however that dies.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::sys::memfd::{memfd_create, MFdFlags};
use xxhash_rust::xxh3::xxh3_64;

use super::process::pids;
use crate::sys::fork::{self, CloseInChild};

/// The length and the checksum of the content, eight bytes each, come before it.
const HEAD: usize = 16;

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
        let mut bytes = Vec::with_capacity(HEAD + content.len());
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(xxh3_64(content).to_le_bytes());
        bytes.extend(content);
        // The file is in memory. Without room for it, a reader finds the old content.
        let _ = self.0.write_all_at(&bytes, 0);
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
    let file = File::open(descriptor).ok()?;
    // A reader can see half of a write. Then the checksum is wrong, and it reads again.
    (0..100).find_map(|_| read_once(&file).ok())
}

fn read_once(file: &File) -> io::Result<Vec<u8>> {
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0)?;
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
    let length = file.metadata()?.len().saturating_sub(HEAD as u64);
    let mut content = vec![0; word(0).min(length) as usize];
    file.read_exact_at(&mut content, HEAD as u64)?;
    match xxh3_64(&content) == word(8) {
        true => Ok(content),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}
