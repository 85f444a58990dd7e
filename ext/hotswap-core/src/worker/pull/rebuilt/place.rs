//! The file in which the worker builds a copy: a staged file, or the client's own file, which saves one more copy.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{fcntl, FcntlArg, OFlag};
use rusqlite::{Connection, OpenFlags};

use crate::error::{Context, Refused, Result, Unredactable};
use crate::worker::command::Command;
use crate::worker::disk::flusher::Flusher;
use crate::worker::disk::space;
use crate::worker::disk::staged::Staged;
use crate::worker::sqlite::header::JOURNAL_BYTES;
use crate::worker::sqlite::vfs;

/// The file. It is empty at first.
#[derive(Debug)]
pub(super) enum Place {
    Staged(Staged),
    Client(Target),
}

/// The client's file.
#[derive(Debug)]
pub(super) struct Target {
    file: Arc<File>,
    /// By which SQLite opens it.
    uri: String,
    /// What messages call it.
    name: PathBuf,
    on_disk: Arc<Mutex<OnDisk>>,
}

/// How much of the client's file is on its way to the disk.
#[derive(Debug)]
struct OnDisk {
    flusher: Flusher,
    /// The first error. A later sync would not meet it again.
    written: io::Result<()>,
}

impl Place {
    /// A new file next to `database`.
    pub(super) fn next_to(database: &Path) -> Result<Self> {
        Staged::create(database).map(Self::Staged)
    }

    /// The client's `file`, which the user calls `name`, if SQLite can work there, and as fast as on the disk of
    /// `database`. The client could change what SQLite reads there. But only root and the application's user reach the
    /// worker, and both can read the database themselves.
    pub(super) fn of_client(file: &File, name: &str, database: &Path) -> Option<Self> {
        let file = Arc::new(file.try_clone().ok()?);
        let mode = OFlag::from_bits_truncate(fcntl(&*file, FcntlArg::F_GETFL).ok()?);
        // What is written to a file that is open for appending goes to its end.
        if mode & OFlag::O_ACCMODE != OFlag::O_RDWR || mode.contains(OFlag::O_APPEND) {
            return None;
        }
        if file.metadata().ok()?.dev() != std::fs::metadata(database).ok()?.dev() {
            return None;
        }
        Some(Self::Client(Target {
            uri: vfs::uri_of_descriptor(file.as_raw_fd())?,
            file,
            name: name.into(),
            on_disk: Arc::new(Mutex::new(OnDisk {
                flusher: Flusher::default(),
                written: Ok(()),
            })),
        }))
    }

    /// What messages call the file.
    pub(super) fn name(&self) -> &Path {
        match self {
            Self::Staged(staged) => staged.path(),
            Self::Client(target) => &target.name,
        }
    }

    /// The staged file, if the copy is in one.
    pub(super) fn staged(&self) -> Option<&Path> {
        match self {
            Self::Staged(staged) => Some(staged.path()),
            Self::Client(_) => None,
        }
    }

    /// The file itself.
    pub(super) fn file(&self) -> &File {
        match self {
            Self::Staged(staged) => staged.file(),
            Self::Client(target) => &target.file,
        }
    }

    /// Opens the file. The connection takes URIs.
    pub(super) fn open(&self) -> Result<Connection> {
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
        let opened = match self {
            Self::Staged(staged) => Connection::open_with_flags(staged.path(), flags),
            Self::Client(target) => Connection::open_with_flags(&target.uri, flags),
        };
        opened.on_path("cannot open", self.name())
    }

    /// What a statement of a connection that takes URIs calls the file.
    pub(super) fn uri(&self) -> Result<String> {
        match self {
            Self::Client(target) => Ok(target.uri.clone()),
            Self::Staged(staged) => staged.path().to_str().map(Into::into).ok_or_else(|| {
                Refused::from(Unredactable::NameIsNotUtf8 {
                    database: staged.path().to_owned(),
                })
                .into()
            }),
        }
    }

    /// The length, in bytes.
    pub(super) fn len(&self) -> Result<u64> {
        let metadata = self.file().metadata().on_path("cannot stat", self.name())?;
        Ok(metadata.len())
    }

    /// Refuses unless `length` bytes fit there and leave the application room to write.
    pub(super) fn require_room(&self, length: u64) -> Result<()> {
        space::require(self.file(), length, "the copy")
    }

    /// How many bytes the file can grow by, if it is written once more afterwards.
    pub(super) fn room_to_grow(&self) -> Result<u64> {
        let length = self.len()?;
        self.require_room(length)?;
        Ok(space::left_for(self.file())?.saturating_sub(length) / 2)
    }

    /// A callback that reports how much is written, of about `total` bytes, and has the disk write the client's file
    /// meanwhile.
    pub(super) fn growth(&self, command: &Command, total: u64) -> Result<impl FnMut() + Send + 'static> {
        let reporting = "cannot report the progress";
        let user = command.client.user.try_clone().context(reporting)?;
        let (file, on_disk) = match self {
            Self::Staged(staged) => (Arc::new(staged.file().try_clone().context(reporting)?), None),
            Self::Client(target) => (target.file.clone(), Some(target.on_disk.clone())),
        };
        Ok(move || {
            let Ok(metadata) = file.metadata() else { return };
            user.progress("copying", metadata.len().min(total), total);
            if let Some(on_disk) = &on_disk {
                let mut on_disk = on_disk.lock().unwrap_or_else(PoisonError::into_inner);
                if on_disk.written.is_ok() {
                    on_disk.written = on_disk.flusher.grown(&file, metadata.len());
                }
            }
        })
    }

    /// Completes the copy of a database that is in WAL mode if `is_wal`. Returns the staged file, unless the client has
    /// the copy in its own.
    pub(super) fn complete(self, is_wal: bool, command: &Command) -> Result<Option<Staged>> {
        match self {
            Self::Staged(mut staged) => {
                staged.set_wal(is_wal)?;
                staged.remeasure()?;
                Ok(Some(staged))
            }
            Self::Client(Target {
                file, name, on_disk, ..
            }) => {
                let version = if is_wal { 2 } else { 1 };
                file.write_all_at(&[version, version], JOURNAL_BYTES)
                    .on_path("cannot write", &name)?;
                let mut on_disk = on_disk.lock().unwrap_or_else(PoisonError::into_inner);
                let caught_up = on_disk.flusher.caught_up(|| command.client.check_presence())?;
                let written = std::mem::replace(&mut on_disk.written, Ok(()));
                written.and(caught_up).on_path("cannot write", &name)?;
                Ok(None)
            }
        }
    }
}
