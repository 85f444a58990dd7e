//! Unix sockets at paths of any length. The address of a socket has at most 108 bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The address of a socket with a short name. An address has at most 108 bytes. This one goes through the folder's
/// file descriptor, so the folder may be nested to any depth.
pub(crate) fn reachable(folder: &File, name: impl AsRef<Path>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name)
}

/// Connects to a socket by a path of any length.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::InvalidInput => {
            let (_socket, address) = address_of(path)?;
            UnixStream::connect(address)
        }
        direct => direct,
    }
}

/// The address of an existing socket. The lengths of its path and of its name do not matter. It is valid for as long
/// as the returned file is open.
pub(crate) fn address_of(socket: &Path) -> io::Result<(File, PathBuf)> {
    let mut options = OpenOptions::new();
    // O_PATH names the socket without opening it. A socket cannot be opened.
    options.read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC);
    let socket = options.open(socket)?;
    let address = PathBuf::from(format!("/proc/self/fd/{}", socket.as_raw_fd()));
    Ok((socket, address))
}
