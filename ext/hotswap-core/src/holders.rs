//! Finds the processes that have a file open, to name them in a message. The result is not a proof; the
//! [lease](crate::worker::live::lease) is.
//!
//! The search asks no file system. A descriptor may belong to a file on a server that is down, and a request to that
//! server never returns.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use crate::fence;
use crate::sys::identity::Identity;
use crate::sys::processes::{self, Bound, Found};
use crate::sys::publication::{content_of, is_link_to};
use crate::sys::statx::known_identity;

pub(crate) use crate::sys::processes::name;

/// How many of the processes that could not be inspected a message names.
const NAMED: usize = 3;

/// Names such as "process 4711 (sqlite3 db/production.sqlite3)".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strangers {
    /// The processes that have the file open.
    pub names: Vec<String>,
    /// The processes that could not be inspected in time.
    pub unseen: Vec<String>,
    /// Whether all named processes belong to the application. hotswap cannot close a file that they still have open.
    pub of_the_application: bool,
}

impl Strangers {
    /// Every other process that has `file` open or mapped, as far as this user may inspect it.
    pub(crate) fn of(file: &Path, bound: Bound) -> Self {
        Self::matching(Sought::at(file), bound, is_another)
    }

    /// The same without the members of the file's fleet and the pulls that read it. They have its fence open as well.
    pub(crate) fn outside_the_fleet(file: &Path, bound: Bound) -> Self {
        let fence = Sought::at(&fence::path_of(file)).ok();
        Self::matching(Sought::at(file), bound, move |pid| {
            is_another(pid) && !fence.as_ref().is_some_and(|fence| fence.is_open_in(pid))
        })
    }

    /// Every other process that has the file of this descriptor open. The file may have no name any more.
    pub(crate) fn of_descriptor(file: RawFd, bound: Bound) -> Self {
        Self::matching(Sought::of(file), bound, is_another)
    }

    /// Every process, including this one, that can write to `file`.
    pub(crate) fn writing_to(file: &Path, bound: Bound) -> Self {
        let sought = Sought::at(file).map(|sought| Sought {
            writers: true,
            ..sought
        });
        Self::matching(sought, bound, |_| true)
    }

    fn matching(
        sought: io::Result<Sought>,
        bound: Bound,
        counts: impl Fn(u32) -> bool + Send + Sync + 'static,
    ) -> Self {
        let Ok(sought) = sought else {
            return Self::default();
        };
        let Found { pids, unseen } = processes::find(bound, move |pid| sought.is_used_in(pid) && counts(pid));
        let others = unseen.len().saturating_sub(NAMED);
        let mut unseen: Vec<_> = unseen.into_iter().take(NAMED).map(name).collect();
        if others > 0 {
            unseen.push(format!("{others} others"));
        }
        Self {
            of_the_application: !pids.is_empty() && pids.iter().all(|pid| has_a_fence_open(*pid)),
            names: pids.into_iter().map(name).collect(),
            unseen,
        }
    }

    /// The names, as the end of a sentence.
    pub(crate) fn phrase(&self) -> String {
        match (&*self.names, &*self.unseen) {
            ([], []) => "a process that this user cannot see, or one in another container".into(),
            ([], unseen) => format!(
                "a process that this user cannot see, or one that could not be inspected in time: {}",
                unseen.join(", ")
            ),
            (names, _) => names.join(", "),
        }
    }
}

/// Which of `files` every process has open, and what it publishes under `name`. Processes that have none of them open
/// and publish nothing are left out.
pub(crate) fn survey(files: &[PathBuf], name: &'static str, bound: Bound) -> Vec<Surveyed> {
    let sought: Vec<_> = files.iter().map(|file| Sought::at(file).ok()).collect();
    let (tell, hear) = channel();
    processes::find(bound, move |pid| {
        let surveyed = Surveyed::of(pid, &sought, name);
        // The receiver is gone if this took too long.
        surveyed.is_of_interest() && tell.send(surveyed).is_ok()
    });
    hear.try_iter().collect()
}

/// What a survey finds out about one process.
#[derive(Clone, Debug)]
pub(crate) struct Surveyed {
    /// The pid of the process.
    pub pid: u32,
    /// Whether it has each of the files open or mapped.
    pub open: Vec<bool>,
    /// What it publishes.
    pub published: Vec<Vec<u8>>,
}

impl Surveyed {
    fn of(pid: u32, sought: &[Option<Sought>], name: &str) -> Self {
        let mut surveyed = Self {
            pid,
            open: vec![false; sought.len()],
            published: Vec::new(),
        };
        for (number, path) in descriptors(pid) {
            match std::fs::read_link(&path) {
                Ok(link) if is_link_to(&link, name) => surveyed.published.extend(content_of(&path)),
                Ok(link) if link.is_absolute() => {
                    let Ok(about) = About::of(pid, &number) else {
                        continue;
                    };
                    let files = surveyed.open.iter_mut().zip(sought);
                    files.for_each(|(open, file)| {
                        *open |= file.as_ref().is_some_and(|file| file.is_open_as(&about, &path));
                    });
                }
                _ => {}
            }
        }
        surveyed
    }

    fn is_of_interest(&self) -> bool {
        self.open.contains(&true) || !self.published.is_empty()
    }
}

fn is_another(pid: u32) -> bool {
    pid != std::process::id()
}

/// Whether a process has joined the fleet of any database: no other process has a fence open for long.
pub(crate) fn has_a_fence_open(pid: u32) -> bool {
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors.into_iter().any(|entry| {
        let path = std::fs::read_link(entry.path()).unwrap_or_default();
        path.as_os_str().as_bytes().ends_with(fence::SUFFIX.as_bytes())
    })
}

/// The descriptors of a process: the number and the path in `/proc` of each.
fn descriptors(pid: u32) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
}

/// A file as `/proc` shows it.
struct Sought {
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
    fn at(path: &Path) -> io::Result<Self> {
        // A descriptor made with O_PATH does not open the file: closing it drops no lock and breaks no lease.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path)?;
        Ok(Self {
            path: path.as_os_str().as_bytes().to_owned(),
            ..Self::of(file.as_raw_fd())?
        })
    }

    fn of(file: RawFd) -> io::Result<Self> {
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

    fn is_used_in(&self, pid: u32) -> bool {
        self.is_open_in(pid) || self.is_mapped_in(pid)
    }

    fn is_open_in(&self, pid: u32) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::eventually;
    use std::os::unix::fs::OpenOptionsExt;
    use std::process::{Child, Command, Stdio};

    fn stranger_with(file: &std::fs::File) -> Child {
        Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(file.try_clone().unwrap()))
            .spawn()
            .unwrap()
    }

    /// Kills the process when the test ends, whichever way.
    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_process_that_has_the_file_open_is_named_with_its_command() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stranger = Killed(stranger_with(&file.reopen().unwrap()));
        let expected = [format!("process {} (sleep 60)", stranger.0.id())];
        // The kernel lets the parent continue before the new program's arguments are in place.
        eventually(|| Strangers::of(file.path(), Bound::Patient).names == expected);
    }

    #[test]
    fn a_process_that_only_points_at_the_file_is_no_stranger() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut pointing = std::fs::OpenOptions::new();
        pointing.read(true).custom_flags(libc::O_PATH);
        let _stranger = Killed(stranger_with(&pointing.open(file.path()).unwrap()));
        eventually(|| Strangers::of(file.path(), Bound::Patient).names.is_empty());
    }

    #[test]
    fn who_has_the_fence_open_too_is_of_the_fleet() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        std::fs::write(&database, b"x").unwrap();
        std::fs::write(fence::path_of(&database), b"x").unwrap();
        let open = |path: &Path| Stdio::from(std::fs::File::open(path).unwrap());
        let mut member = Command::new("sleep");
        member.arg("60");
        member
            .stdin(open(&database))
            .stdout(open(&fence::path_of(&database)));
        let _member = Killed(member.spawn().unwrap());
        eventually(|| {
            let all = Strangers::of(&database, Bound::Patient).names;
            let outside = Strangers::outside_the_fleet(&database, Bound::Patient).names;
            (all.len(), outside.len()) == (1, 0)
        });
    }
}
