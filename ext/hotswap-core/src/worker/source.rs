//! A file that the client handed over as a descriptor.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

use super::copying::copy_range;
use crate::error::{Context, Error, Result};
use crate::protocol::{Identity, Sidecar};

/// What a source that is written to while it is read ends with.
pub fn changed() -> Error {
    Error::Refused(
        "the source was changed while it was being copied; stop its writer, or push a snapshot of it (sqlite3 SOURCE \".backup COPY\")"
            .into(),
    )
}

/// See the module.
pub struct Source {
    /// Read at explicit offsets: its own is shared with the sender.
    pub file: File,
    /// When it was handed over, in bytes.
    pub length: u64,
    stamp: (u64, i64, i64, i64, i64),
}

impl Source {
    /// Takes over a descriptor, unless it is of the live database itself, or of nothing that can be copied.
    pub fn take(descriptor: Option<OwnedFd>, live: &Path) -> Result<Self> {
        let descriptor =
            descriptor.ok_or_else(|| Error::Broken("the client announced a file and sent none".into()))?;
        let file = File::from(descriptor);
        let metadata = file
            .metadata()
            .context("cannot stat the file that was handed over")?;
        if !metadata.is_file() {
            let kind = if metadata.file_type().is_fifo() {
                "a pipe"
            } else {
                "not a regular file"
            };
            return Err(Error::Refused(format!(
                "what was handed over is {kind}; use - and standard input for that"
            )));
        }
        if std::fs::metadata(live).is_ok_and(|live| Identity::of(&live) == Identity::of(&metadata)) {
            // Closing it would drop the locks that SQLite takes on the live file; it stays open until we end.
            std::mem::forget(file);
            return Err(Error::Usage("source and destination are the same file".into()));
        }
        let flags = nix::fcntl::fcntl(file.as_fd(), nix::fcntl::FcntlArg::F_GETFL)
            .context("cannot look at the descriptor")?;
        if flags & libc::O_ACCMODE == libc::O_WRONLY || flags & libc::O_PATH != 0 {
            return Err(Error::Broken(
                "the file was handed over without the right to read it".into(),
            ));
        }
        Ok(Self {
            length: metadata.len(),
            stamp: stamp(&metadata),
            file,
        })
    }

    /// Reads the first bytes; fewer where the file is shorter.
    pub fn head(&self) -> Result<[u8; 100]> {
        let mut head = [0; 100];
        let length = head.len().min(self.length as usize);
        match self.file.read_exact_at(&mut head[..length], 0) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(changed()),
            read => read
                .context("cannot read the file that was handed over")
                .map(|()| head),
        }
    }

    /// Whether somebody wrote to it since.
    pub fn has_changed(&self) -> bool {
        self.file
            .metadata()
            .map_or(true, |metadata| stamp(&metadata) != self.stamp)
    }

    /// Copies a log or a journal to where SQLite looks for the staged file's.
    pub fn copy_beside(&self, staged: &Path, sidecar: Sidecar) -> Result<()> {
        let mut name = staged.as_os_str().to_owned();
        name.push(sidecar.suffix());
        let path = Path::new(&name);
        let target = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .on_path("cannot create", path)?;
        let mut done = 0;
        while done < self.length {
            match copy_range(&self.file, done, &target, done, self.length - done)
                .on_path("cannot copy into", path)?
            {
                0 => return Err(changed()),
                bytes => done += bytes,
            }
        }
        Ok(())
    }
}

fn stamp(metadata: &std::fs::Metadata) -> (u64, i64, i64, i64, i64) {
    (
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    )
}
