//! Unix sockets: who is at the other end, and paths of any length. The address of a socket has at most 108 bytes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::socket::{self, getsockopt, sockopt::PeerCredentials};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr};

/// The flags for sending: a peer that has gone is an error, and not a signal.
pub const SENDING: MsgFlags = MsgFlags::MSG_NOSIGNAL;
/// The flags for receiving: descriptors that arrive are not inherited.
pub const RECEIVING: MsgFlags = MsgFlags::MSG_CMSG_CLOEXEC;

/// Makes sending on the socket raise no signal, where [`SENDING`] does not do that.
pub fn without_signals(_socket: &impl AsFd) {}

/// Keeps programs that this process runs from inheriting a descriptor that has arrived, where [`RECEIVING`] does not
/// do that.
pub fn keep_private(_descriptor: &OwnedFd) {}

/// Whether setting an option of a socket failed only because its peer has closed it. On Linux, that is no error.
pub fn is_of_a_closed_peer(_error: &io::Error) -> bool {
    false
}

/// The process at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its pid. 0 for a process in another container.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

/// The process that had the other end when the sockets were connected.
pub fn peer(socket: &impl AsFd) -> Option<Peer> {
    let peer = getsockopt(socket, PeerCredentials).ok()?;
    Some(Peer {
        pid: peer.pid(),
        uid: peer.uid(),
    })
}

/// The address of a socket. It is valid for as long as this lives.
#[derive(Debug)]
pub struct Address {
    path: PathBuf,
    _file: File,
}

impl AsRef<Path> for Address {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Address {
    /// The address of a socket with a short `name` in `folder`. It goes through the folder's file descriptor, so the
    /// folder may be nested to any depth.
    pub fn in_folder(folder: &Path, name: impl AsRef<Path>) -> io::Result<Self> {
        let file = File::open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())).join(name);
        Ok(Self { path, _file: file })
    }

    /// The address of an existing socket. The lengths of its path and of its name do not matter.
    pub fn of(socket: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        // O_PATH names the socket without opening it. A socket cannot be opened.
        options.read(true).custom_flags(libc::O_PATH | libc::O_CLOEXEC);
        let file = options.open(socket)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Self { path, _file: file })
    }
}

/// A socket that is not connected yet.
pub fn unconnected() -> io::Result<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?.into())
}

/// Connects to a socket by a path of any length.
pub fn connect(stream: &UnixStream, path: &Path) -> io::Result<()> {
    let to = |path: &Path| socket::connect(stream.as_raw_fd(), &UnixAddr::new(path)?);
    match to(path) {
        Err(Errno::ENAMETOOLONG) => Ok(to(Address::of(path)?.as_ref())?),
        direct => Ok(direct?),
    }
}
