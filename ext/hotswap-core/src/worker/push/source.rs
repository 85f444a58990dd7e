//! A file that the client handed over as a descriptor.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{fcntl, FcntlArg};

use crate::error::{BadFile, Context, Error, FileKind, Protocol, Result, Usage};
use crate::holders;
use crate::protocol::Stamp;
use crate::sidecar::Sidecar;
use crate::sys::copy::copy_range;
use crate::sys::descriptors;
use crate::sys::identity::Identity;
use crate::sys::record_lock::{self, Kind};
use crate::worker::sqlite::locks;

/// The error for a source that was written to while it was read.
pub(super) fn changed() -> Error {
    BadFile::Changed {
        name: "the source".into(),
    }
    .into()
}

/// How much of a WAL is copied between two checks of the client, in bytes.
const STEP: u64 = 1024 * 1024;

/// A file of the client's, and its state when the client handed it over.
pub(super) struct Source {
    /// Read at explicit offsets, because the descriptor's own offset is shared with the sender.
    pub file: File,
    /// The length when the file was handed over, in bytes.
    pub length: u64,
    stamp: Stamp,
}

impl Source {
    /// Takes over a descriptor. Refuses the live database itself, anything that cannot be copied, and a file that
    /// has changed since the client `saw` it.
    pub(super) fn take(descriptor: Option<OwnedFd>, live: &Path, saw: Option<Stamp>) -> Result<Self> {
        let descriptor = descriptor.ok_or(Protocol::Missing { what: "the source" })?;
        let file = File::from(descriptor);
        let metadata = file.metadata().context("cannot stat the source")?;
        if !metadata.is_file() {
            return Err(Usage::BadSource {
                name: "the source".into(),
                kind: FileKind::of(metadata.file_type()),
            }
            .into());
        }
        if std::fs::metadata(live).is_ok_and(|live| Identity::of(&live) == Identity::of(&metadata)) {
            // Stays open until this process ends, because closing it would drop the locks that SQLite takes on the
            // live file.
            std::mem::forget(file);
            return Err(Usage::SameFile.into());
        }
        let flags = fcntl(file.as_fd(), FcntlArg::F_GETFL).context("cannot inspect the descriptor")?;
        let file = match flags {
            // A client inside the application only names the file, and leaves opening it to the worker.
            flags if descriptors::only_names(flags) => {
                descriptors::open_named(&file).context("cannot open the source")?
            }
            flags if flags & libc::O_ACCMODE == libc::O_WRONLY => {
                return Err(Protocol::NoRight { what: "the source" }.into())
            }
            _ => file,
        };
        let stamp = Stamp::settled(&file).context("cannot stat the source")?;
        if saw.is_some_and(|saw| saw != stamp) {
            return Err(changed());
        }
        Ok(Self {
            length: stamp.length,
            stamp,
            file,
        })
    }

    /// Refuses a database that another program is writing. A transaction whose journal is not on disk, or is
    /// incomplete, would be copied half done. In WAL mode a writer locks none of these bytes, and its uncommitted
    /// changes are only in the WAL.
    pub(super) fn require_no_writer(&self, name: &str) -> Result<()> {
        // If the file system has no locks, SQLite has none either.
        let Some(pid) = record_lock::holder_of_any(&self.file, Kind::Shared, locks::OF_THE_FILE) else {
            return Ok(());
        };
        // A process in another container has no number here.
        let writer = match u32::try_from(pid) {
            Ok(pid) if pid > 0 => holders::name(pid),
            _ => "another process".into(),
        };
        Err(BadFile::BeingWritten {
            name: name.into(),
            writer,
        }
        .into())
    }

    /// Reads the first bytes; fewer if the file is shorter.
    pub(super) fn head(&self) -> Result<[u8; 100]> {
        let mut head = [0; 100];
        let length = head.len().min(self.length as usize);
        match self.file.read_exact_at(&mut head[..length], 0) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(changed()),
            read => read.context("cannot read the source").map(|()| head),
        }
    }

    /// Whether the file has been written to since it was handed over.
    pub(super) fn has_changed(&self) -> bool {
        self.file
            .metadata()
            .map_or(true, |metadata| Stamp::of(&metadata) != self.stamp)
    }

    /// Copies a WAL or a journal to where SQLite expects the one of the staged file. Stops when `wanted` fails.
    pub(super) fn copy_beside(
        &self,
        staged: &Path,
        sidecar: Sidecar,
        mut wanted: impl FnMut() -> Result<()>,
    ) -> Result<File> {
        let mut name = staged.as_os_str().to_owned();
        name.push(sidecar.suffix());
        let path = Path::new(&name);
        // Requires a new file: SQLite must not read one that another program has put there.
        let target = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .on_path("cannot create", path)?;
        let mut done = 0;
        while done < self.length {
            wanted()?;
            let step = STEP.min(self.length - done);
            match copy_range(&self.file, done, &target, done, step).on_path("cannot copy into", path)? {
                0 => return Err(changed()),
                bytes => done += bytes,
            }
        }
        Ok(target)
    }
}
