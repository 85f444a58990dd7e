//! The file to push: opened here, where the user's rights and folder are, and read by the worker.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::error::{in_words, Error, Result};
use crate::protocol::Sidecar;
use crate::worker::leftovers;

/// See the module.
pub(super) struct Source {
    main: File,
    beside: Vec<(Sidecar, File)>,
    /// In bytes.
    pub length: u64,
}

impl Source {
    /// Opens the file at `path`, and what of its newest rows lies beside it.
    pub fn open(path: &Path, raw: &str) -> Result<Self> {
        let main = open(path).map_err(|error| refused(raw, &error))?;
        let metadata = main.metadata().map_err(|error| refused(raw, &error))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Err(Error::Refused(format!(
                "{raw} is a directory, not a database; name the file in it"
            )));
        }
        if kind.is_fifo() || kind.is_socket() {
            return Err(Error::Refused(format!(
                "{raw} is a pipe; pass - and read it from standard input: hotswap cp - ... < {raw}"
            )));
        }
        if !kind.is_file() {
            return Err(Error::Refused(format!(
                "{raw} is not a regular file; name an SQLite database"
            )));
        }
        let mut beside = Vec::new();
        for sidecar in [Sidecar::Wal, Sidecar::Journal] {
            let mut name = path.as_os_str().to_owned();
            name.push(sidecar.suffix());
            match open(Path::new(&name)) {
                Ok(file)
                    if file
                        .metadata()
                        .is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) =>
                {
                    beside.push((sidecar, file))
                }
                Ok(_) => {}
                Err(error) if leftovers::is_absent(&error) => {}
                Err(error) => return Err(refused(&name.to_string_lossy(), &error)),
            }
        }
        Ok(Self {
            length: metadata.len(),
            main,
            beside,
        })
    }

    /// What lies beside the file, in the order of the descriptors.
    pub fn sidecars(&self) -> Vec<Sidecar> {
        self.beside.iter().map(|(sidecar, _)| *sidecar).collect()
    }

    /// The file, then what lies beside it.
    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(self.main.as_fd())
            .chain(self.beside.iter().map(|(_, file)| file.as_fd()))
            .collect()
    }
}

/// Without O_NONBLOCK a pipe would keep us waiting for its writer.
fn open(path: &Path) -> std::io::Result<File> {
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
}

fn refused(raw: &str, error: &std::io::Error) -> Error {
    Error::Refused(format!("cannot read {raw}: {}", in_words(error)))
}
