//! The files that processes have open, as `/proc` shows them.
//!
//! The search asks no file system. A descriptor may belong to a file on a server that is down, and a request to that
//! server never returns.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::process::pids;
use super::publication::{content_of, is_link_to};
use super::stat::known_identity;
use crate::sys::identity::Identity;

/// Whether this platform tells which files other processes have open.
pub const ARE_KNOWN: bool = true;

/// The processes that a survey has to [`look`] at, for files and for what they publish under a name.
pub fn to_look_at(_name: &str) -> Vec<u32> {
    pids().collect()
}

/// Which of the files `sought` a process has open, and what it publishes under `name`.
pub fn look(pid: u32, sought: &[Option<Sought>], name: &str) -> (Vec<bool>, Vec<Vec<u8>>) {
    let (mut opened, mut published) = (vec![false; sought.len()], Vec::new());
    for (number, path) in descriptors(pid) {
        match std::fs::read_link(&path) {
            Ok(link) if is_link_to(&link, name) => published.extend(content_of(&path)),
            Ok(link) if link.is_absolute() => {
                let Ok(about) = About::of(pid, &number) else {
                    continue;
                };
                for (open, file) in opened.iter_mut().zip(sought) {
                    *open |= file.as_ref().is_some_and(|file| file.is_open_as(&about, &path));
                }
            }
            _ => {}
        }
    }
    (opened, published)
}

/// Whether a process has a file open whose name ends with `suffix`.
pub fn has_name_open(pid: u32, suffix: &str) -> bool {
    let mut descriptors = descriptors(pid);
    descriptors.any(|(_, path)| {
        let path = std::fs::read_link(path).unwrap_or_default();
        path.as_os_str().as_bytes().ends_with(suffix.as_bytes())
    })
}

/// The descriptors of a process: the number and the path in `/proc` of each.
fn descriptors(pid: u32) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
}

/// A file as `/proc` shows it.
#[derive(Debug)]
pub struct Sought {
    identity: Identity,
    /// Its inode number in `fdinfo`; before Linux 5.14 there is none.
    number: Option<u64>,
    /// Its device in `maps`.
    device: String,
    /// Its path: overlayfs shows another device in `maps` than to stat.
    path: Vec<u8>,
    /// Whether only processes that can write count.
    writers: bool,
}

impl Sought {
    /// The file at `path`. If `writers`, only processes that can write to it count.
    pub fn at(path: &Path, writers: bool) -> io::Result<Self> {
        // A descriptor made with O_PATH does not open the file: closing it drops no lock and breaks no lease.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)?;
        Ok(Self {
            path: path.as_os_str().as_bytes().to_owned(),
            writers,
            ..Self::of(file.as_raw_fd())?
        })
    }

    /// The file of a descriptor. It may have no name any more.
    pub fn of(file: RawFd) -> io::Result<Self> {
        let descriptor = format!("/proc/self/fd/{file}");
        let identity = known_identity(Path::new(&descriptor))?;
        Ok(Self {
            identity,
            number: About::read(&descriptor.replace("/fd/", "/fdinfo/"))?.inode,
            device: format!(
                "{:02x}:{:02x}",
                libc::major(identity.device),
                libc::minor(identity.device)
            ),
            path: Vec::new(),
            writers: false,
        })
    }

    /// Whether a process has the file open or mapped, as far as this user may inspect it.
    pub fn is_used_in(&self, pid: u32) -> bool {
        self.is_open_in(pid) || self.is_mapped_in(pid)
    }

    /// Whether a process has the file open.
    pub fn is_open_in(&self, pid: u32) -> bool {
        descriptors(pid).any(|(number, path)| {
            // A socket or a pipe has no path. Most descriptors are of this kind.
            let is_file = std::fs::read_link(&path).is_ok_and(|name| name.is_absolute());
            is_file && About::of(pid, &number).is_ok_and(|about| self.is_open_as(&about, &path))
        })
    }

    fn is_open_as(&self, about: &About, path: &Path) -> bool {
        let may_be = self.number.is_none() || about.inode.is_none() || about.inode == self.number;
        may_be
            && about.has_opened()
            && (about.can_write() || !self.writers)
            && known_identity(path).is_ok_and(|identity| identity == self.identity)
    }

    /// Whether the process has mapped the file. It may have closed the descriptor.
    fn is_mapped_in(&self, pid: u32) -> bool {
        let maps = std::fs::read(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.split(|byte| *byte == b'\n')
            .any(|line| self.is_mapped_by(line))
    }

    /// "7f0c04000000-7f0c04400000 rw-s 00000000 fd:01 131093    /srv/app/storage/production.sqlite3"
    fn is_mapped_by(&self, line: &[u8]) -> bool {
        let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        let can_write = words.nth(1).is_some_and(|rights| rights.get(1) == Some(&b'w'));
        let device = words.nth(1).unwrap_or_default();
        let inode = words
            .next()
            .and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        inode == self.number.or(Some(self.identity.inode))
            && (can_write || !self.writers)
            && (device == self.device.as_bytes() || !self.path.is_empty() && line.ends_with(&self.path))
    }
}

/// What the kernel reports about a descriptor without asking a file system.
#[derive(Debug, Default)]
struct About {
    flags: libc::c_int,
    inode: Option<u64>,
}

impl About {
    fn of(pid: u32, descriptor: &str) -> io::Result<Self> {
        Self::read(&format!("/proc/{pid}/fdinfo/{descriptor}"))
    }

    fn read(fdinfo: &str) -> io::Result<Self> {
        let text = std::fs::read_to_string(fdinfo)?;
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        Ok(Self {
            flags: value("flags:").map_or(0, |octal| libc::c_int::from_str_radix(octal, 8).unwrap_or(0)),
            inode: value("ino:").and_then(|number| number.parse().ok()),
        })
    }

    /// A descriptor made with O_PATH names a file without opening it.
    fn has_opened(&self) -> bool {
        self.flags & libc::O_PATH == 0
    }

    fn can_write(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }
}
