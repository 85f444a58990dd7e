//! The open files of this process, as `/proc/self/fd` shows them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{fcntl, FcntlArg, OFlag};

use super::stat::known_identity;
use crate::sys::identity::Identity;

/// The descriptors of this process and their files. Opens none of them: closing a second descriptor of a file would
/// drop its locks.
pub fn own() -> impl Iterator<Item = (RawFd, Identity)> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.into_iter().filter_map(|path| {
        let descriptor = path.file_name()?.to_str()?.parse().ok()?;
        // Asks no file system, because the client's file may be on a disk that does not answer.
        Some((descriptor, known_identity(&path).ok()?))
    })
}

/// A path that leads to an open file, also if that has no name any more.
pub fn path_of(file: &impl AsRawFd) -> Option<PathBuf> {
    Some(PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())))
}

/// Opens a file or a pipe again, so that the new descriptor has flags of its own.
pub fn reopen(file: &impl AsRawFd, options: &OpenOptions) -> io::Result<File> {
    options.open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Whether [`name`] opens nothing, so that the descriptor may be closed.
pub const NAMES_WITHOUT_OPENING: bool = true;

/// A descriptor that only names the file: closing it drops no locks. [`open_named`] opens it.
pub fn name(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
}

/// Whether a descriptor with these `flags` only names its file.
pub fn only_names(flags: libc::c_int) -> bool {
    flags & libc::O_PATH != 0
}

/// Opens for reading what a descriptor only names.
pub fn open_named(file: &impl AsRawFd) -> io::Result<File> {
    reopen(file, OpenOptions::new().read(true))
}

/// Lets a pipe hold `bytes`, if the administrator allows it.
pub fn enlarge_pipe(pipe: impl AsFd, bytes: i32) {
    let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(bytes));
}

/// A pipe that programs do not inherit: its reader and its writer.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC)?)
}

/// The program that this process runs.
pub fn own_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}
