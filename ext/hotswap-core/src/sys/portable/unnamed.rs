//! Files without a name: not supported, because such a file could not get a name later.

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a file without a name. Fails: the caller gives it a temporary one.
pub fn create(_folder: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives such a file a name.
pub fn link(_file: &File, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
