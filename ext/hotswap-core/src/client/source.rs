//! The file to push. The client opens it with the user's rights and in the user's folder; the worker reads it.
//!
//! What is pushed is what SQLite would read at this path. So the path is resolved first, as SQLite does it: a WAL
//! lies next to the file that a link leads to, and not next to the link.

use std::fs::{File, Metadata};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{BadFile, Context, Error, FileKind, Result, Usage};
use crate::leftovers;
use crate::protocol::{Message, Stamp};
use crate::sidecar::Sidecar;
use crate::sys::descriptors;
use crate::sys::identity::Identity;
use crate::visible::Shown;

/// The open source file, and the files next to it.
pub(super) struct Source {
    main: Main,
    beside: Vec<(Sidecar, File)>,
    stamps: Vec<Stamp>,
}

/// The file itself.
struct Main {
    file: ManuallyDrop<File>,
    /// Whether closing it could drop the locks of an SQLite in this process.
    stays_open: bool,
}

impl Main {
    fn new(file: File, in_application: bool) -> Self {
        Self {
            file: ManuallyDrop::new(file),
            stays_open: in_application && !descriptors::NAMES_WITHOUT_OPENING,
        }
    }
}

impl Drop for Main {
    fn drop(&mut self) {
        if !self.stays_open {
            // SAFETY: the file is not used after this.
            unsafe { ManuallyDrop::drop(&mut self.file) }
        }
    }
}

impl Source {
    /// Opens the file at `path`, and the files next to it that contain its newest rows. `raw` is what the user calls
    /// it.
    ///
    /// In the application's process (`in_application`) this does not open the file itself for reading, because
    /// closing it would drop the locks of an SQLite that has it open there. The worker opens it instead.
    pub(super) fn open(path: &Path, raw: &str, in_application: bool) -> Result<Self> {
        let main = match in_application {
            true => descriptors::name(path),
            false => open(path, 0),
        };
        let main = Main::new(
            main.map_err(|error| unreadable(raw, path, error))?,
            in_application,
        );
        let metadata = main
            .file
            .metadata()
            .map_err(|error| unreadable(raw, path, error))?;
        if !metadata.is_file() {
            return Err(Usage::BadSource {
                name: raw.into(),
                kind: FileKind::of(metadata.file_type()),
            }
            .into());
        }
        Self::with_what_lies_beside(main, path, raw)
    }

    /// The file that is standard input.
    pub(super) fn of_stdin(main: File) -> Result<Self> {
        let path = descriptors::path_of(&main).unwrap_or_default();
        Self::with_what_lies_beside(Main::new(main, false), &path, "standard input")
    }

    fn with_what_lies_beside(main: Main, path: &Path, raw: &str) -> Result<Self> {
        let metadata = main
            .file
            .metadata()
            .map_err(|error| unreadable(raw, path, error))?;
        // A deleted file has no path, and so no WAL next to it.
        let resolved = path
            .canonicalize()
            .ok()
            .filter(|resolved| leads_to(resolved, &metadata));
        let beside = resolved.as_deref().map_or(Ok(vec![]), open_beside)?;
        let files = std::iter::once(&*main.file).chain(beside.iter().map(|(_, file)| file));
        let stamps: std::io::Result<_> = files.map(Stamp::settled).collect();
        let stamps = stamps.map_err(|error| unreadable(raw, path, error))?;
        // From the stamps on, a change of any of these files is noticed. So this is the moment whose state is
        // copied.
        let source = Self { main, beside, stamps };
        match resolved {
            Some(resolved) if !source.still_lies_at(&resolved, &metadata) => {
                Err(BadFile::Changed { name: raw.into() }.into())
            }
            _ => Ok(source),
        }
    }

    fn still_lies_at(&self, resolved: &Path, main: &Metadata) -> bool {
        leads_to(resolved, main)
            && SIDECARS.into_iter().all(|sidecar| {
                let now = std::fs::symlink_metadata(name_beside(resolved, sidecar));
                let opened = self.beside.iter().find(|(opened, _)| *opened == sidecar);
                match (opened.map(|(_, file)| file.metadata()), now) {
                    (None, Ok(now)) => now.len() == 0,
                    (None, Err(error)) => leftovers::is_absent(&error),
                    (Some(Ok(opened)), Ok(now)) => Identity::of(&opened) == Identity::of(&now),
                    _ => false,
                }
            })
    }

    /// What the worker has to know about the source.
    pub(super) fn message(&self) -> Message {
        Message::File {
            length: self.stamps[0].length,
            sidecars: self.beside.iter().map(|(sidecar, _)| *sidecar).collect(),
            stamps: self.stamps.clone(),
        }
    }

    /// The descriptors of the file and of the files next to it.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(self.main.file.as_fd())
            .chain(self.beside.iter().map(|(_, file)| file.as_fd()))
            .collect()
    }
}

const SIDECARS: [Sidecar; 2] = [Sidecar::Wal, Sidecar::Journal];

fn name_beside(database: &Path, sidecar: Sidecar) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(sidecar.suffix());
    name.into()
}

/// The files next to `database` (a resolved path) that contain a part of its content. Skips empty ones.
fn open_beside(database: &Path) -> Result<Vec<(Sidecar, File)>> {
    let mut beside = Vec::new();
    for sidecar in SIDECARS {
        let path = name_beside(database, sidecar);
        let name = path.shown();
        let file = match open(&path, libc::O_NOFOLLOW) {
            Ok(file) => file,
            Err(error) if leftovers::is_absent(&error) => continue,
            Err(error) if error.raw_os_error() == Some(libc::ELOOP) => {
                return Err(bad_sidecar(&name, "a symbolic link"))
            }
            Err(source) => return Err(BadFile::Unreadable { name, source }.into()),
        };
        let metadata = file.metadata().on_path("cannot stat", &path)?;
        if !metadata.is_file() {
            return Err(bad_sidecar(&name, "not a regular file"));
        }
        if metadata.len() > 0 {
            beside.push((sidecar, file));
        }
    }
    Ok(beside)
}

fn leads_to(path: &Path, file: &Metadata) -> bool {
    std::fs::metadata(path).is_ok_and(|there| Identity::of(&there) == Identity::of(file))
}

/// O_NONBLOCK, because otherwise opening a pipe would wait for its writer.
fn open(path: &Path, flags: libc::c_int) -> std::io::Result<File> {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
}

/// A socket cannot be opened at all.
fn unreadable(raw: &str, path: &Path, source: std::io::Error) -> Error {
    let name = raw.into();
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => {
            let kind = FileKind::of(metadata.file_type());
            Usage::BadSource { name, kind }.into()
        }
        _ => BadFile::Unreadable { name, source }.into(),
    }
}

fn bad_sidecar(name: &str, kind: &'static str) -> Error {
    let name = name.into();
    BadFile::BadSidecar { name, kind }.into()
}
