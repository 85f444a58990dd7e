//! Finds the processes that have a file open, to name them in a message. The result is not a proof; the
//! [lease](crate::sys::lease) is.

use std::io;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use crate::fence;
use crate::sys::open_files::{self, Sought};
use crate::sys::processes::{self, Bound, Found};

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
        Self::matching(Sought::at(file, false), bound, is_another)
    }

    /// The same without the members of the file's fleet and the pulls that read it. They have its fence open as well.
    pub(crate) fn outside_the_fleet(file: &Path, bound: Bound) -> Self {
        let fence = Sought::at(&fence::path_of(file), false).ok();
        Self::matching(Sought::at(file, false), bound, move |pid| {
            is_another(pid) && !fence.as_ref().is_some_and(|fence| fence.is_open_in(pid))
        })
    }

    /// Every other process that has the file of this descriptor open. The file may have no name any more.
    pub(crate) fn of_descriptor(file: RawFd, bound: Bound) -> Self {
        Self::matching(Sought::of(file), bound, is_another)
    }

    /// Every process, including this one, that can write to `file`.
    pub(crate) fn writing_to(file: &Path, bound: Bound) -> Self {
        Self::matching(Sought::at(file, true), bound, |_| true)
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
            ([], []) if !open_files::ARE_KNOWN => "a process that hotswap cannot name on this system".into(),
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
    let sought: Vec<_> = files.iter().map(|file| Sought::at(file, false).ok()).collect();
    let (tell, hear) = channel();
    processes::find_among(open_files::to_look_at(name), bound, move |pid| {
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
        let (open, published) = open_files::look(pid, sought, name);
        Self { pid, open, published }
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
    open_files::has_name_open(pid, fence::SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptors;
    use crate::testing::{eventually, pending};
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
        if !open_files::ARE_KNOWN {
            return pending("this platform does not tell who has a file open");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let stranger = Killed(stranger_with(&file.reopen().unwrap()));
        let expected = [format!("process {} (sleep 60)", stranger.0.id())];
        // The kernel lets the parent continue before the new program's arguments are in place.
        eventually(|| Strangers::of(file.path(), Bound::Patient).names == expected);
    }

    #[test]
    fn a_process_that_only_points_at_the_file_is_no_stranger() {
        if !descriptors::NAMES_WITHOUT_OPENING {
            return pending("this platform has no such descriptors");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let _stranger = Killed(stranger_with(&descriptors::name(file.path()).unwrap()));
        eventually(|| Strangers::of(file.path(), Bound::Patient).names.is_empty());
    }

    #[test]
    fn who_has_the_fence_open_too_is_of_the_fleet() {
        if !open_files::ARE_KNOWN {
            return pending("this platform does not tell who has a file open");
        }
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
