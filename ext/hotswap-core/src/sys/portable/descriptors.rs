//! The open files of this process, as `/dev/fd` lists them.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::fcntl::{fcntl, FcntlArg, FdFlag};

use crate::sys::identity::Identity;

/// The descriptors of this process and their files. Opens none of them: closing a second descriptor of a file would
/// drop its locks.
pub fn own() -> impl Iterator<Item = (RawFd, Identity)> {
    let entries = std::fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let numbers: Vec<RawFd> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers
        .into_iter()
        .filter_map(|descriptor| Some((descriptor, identity(descriptor)?)))
}

fn identity(descriptor: RawFd) -> Option<Identity> {
    // SAFETY: all fields of `stat` are integers; zero is a value of each.
    let mut answer: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the answer outlives the call. A descriptor that has been closed is an error.
    let called = unsafe { libc::fstat(descriptor, &mut answer) };
    (called == 0).then_some(Identity {
        device: answer.st_dev as u64,
        inode: answer.st_ino,
    })
}

/// A path that leads to an open file.
#[cfg(not(target_os = "macos"))]
pub fn path_of(file: &impl AsRawFd) -> Option<PathBuf> {
    Some(PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd())))
}

/// A path that leads to an open file. A path below `/dev/fd` would lead nowhere else.
#[cfg(target_os = "macos")]
pub fn path_of(file: &(impl AsRawFd + AsFd)) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    fcntl(file, FcntlArg::F_GETPATH(&mut path)).ok()?;
    Some(path)
}

/// Opens a file or a pipe again, so that the new descriptor has flags of its own. Not every Unix can do that.
pub fn reopen(_file: &impl AsRawFd, _options: &OpenOptions) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether [`name`] opens nothing, so that the descriptor may be closed.
pub const NAMES_WITHOUT_OPENING: bool = false;

/// The files that were named, each with its descriptor. They stay open.
static NAMED: Mutex<Vec<(Identity, RawFd)>> = Mutex::new(Vec::new());

/// A descriptor that names a file. It has to stay open, so each file gets only one.
pub fn name(path: &Path) -> io::Result<File> {
    let mut named = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
    let there = Identity::of(&std::fs::metadata(path)?);
    let known = named.iter().find(|(identity, _)| *identity == there);
    if let Some((_, descriptor)) = known {
        // SAFETY: the descriptor is open for ever, because the caller does not close it either.
        return Ok(unsafe { File::from_raw_fd(*descriptor) });
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    named.push((Identity::of(&file.metadata()?), file.as_raw_fd()));
    Ok(file)
}

/// Whether a descriptor with these `flags` only names its file.
pub fn only_names(_flags: libc::c_int) -> bool {
    false
}

/// Opens for reading what a descriptor only names.
pub fn open_named(_file: &impl AsRawFd) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Lets a pipe hold `bytes`, where that can be changed.
pub fn enlarge_pipe(_pipe: impl AsFd, _bytes: i32) {}

/// A pipe that programs do not inherit: its reader and its writer.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = nix::unistd::pipe()?;
    for end in [&reader, &writer] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    }
    Ok((reader, writer))
}

/// The program that this process runs.
pub fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "ruby".into())
}
