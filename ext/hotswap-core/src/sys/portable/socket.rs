//! Unix sockets: who is at the other end, and paths of any length. The address of a socket has at most 104 bytes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{fcntl, FcntlArg, FdFlag};
use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr};

/// The flags for sending: a peer that has gone is an error, and not a signal.
pub const SENDING: MsgFlags = MsgFlags::from_bits_retain(libc::MSG_NOSIGNAL);
/// The flags for receiving.
pub const RECEIVING: MsgFlags = MsgFlags::empty();

/// Makes sending on the socket raise no signal: an older macOS does not know the flag of [`SENDING`].
pub fn without_signals(_socket: &impl AsFd) {
    #[cfg(target_os = "macos")]
    {
        use std::os::fd::AsRawFd;
        let on: libc::c_int = 1;
        // SAFETY: the value is as long as it says, and outlives the call. An error leaves the flag.
        unsafe {
            libc::setsockopt(
                _socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_NOSIGPIPE,
                std::ptr::from_ref(&on).cast(),
                size_of_val(&on) as libc::socklen_t,
            )
        };
    }
}

/// Keeps programs that this process runs from inheriting a descriptor that has arrived.
pub fn keep_private(descriptor: &OwnedFd) {
    // The descriptor is open, so there is no error.
    let _ = fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
}

/// Whether setting an option of a socket failed only because its peer has closed it. On macOS, that is an error.
pub fn is_of_a_closed_peer(error: &io::Error) -> bool {
    cfg!(target_os = "macos") && error.raw_os_error() == Some(libc::EINVAL)
}

/// The process at the other end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its pid. 0 if it is unknown.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

/// The process that had the other end when the sockets were connected. No standard has this.
#[cfg(target_os = "linux")]
pub fn peer(socket: &impl AsFd) -> Option<Peer> {
    use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
    let peer = getsockopt(socket, PeerCredentials).ok()?;
    Some(Peer {
        pid: peer.pid(),
        uid: peer.uid(),
    })
}

/// The process that had the other end when the sockets were connected.
#[cfg(target_os = "macos")]
pub fn peer(socket: &impl AsFd) -> Option<Peer> {
    use nix::sys::socket::{getsockopt, sockopt::LocalPeerPid};
    let (user, _group) = nix::unistd::getpeereid(socket).ok()?;
    Some(Peer {
        pid: getsockopt(socket, LocalPeerPid).unwrap_or(0),
        uid: user.as_raw(),
    })
}

/// The process that had the other end when the sockets were connected: unknown.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn peer(_socket: &impl AsFd) -> Option<Peer> {
    None
}

/// The longest path that fits into an address, in bytes.
const LONGEST: usize = 103;

fn fits(path: &Path) -> bool {
    path.as_os_str().as_bytes().len() <= LONGEST
}

/// The address of a socket. It is valid for as long as this lives.
#[derive(Debug)]
pub struct Address {
    path: PathBuf,
    /// The folder of a link to the folder of the socket, if the path is too long.
    _link: Option<tempfile::TempDir>,
}

impl AsRef<Path> for Address {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

impl Address {
    /// The address of a socket with a short `name` in `folder`.
    pub fn in_folder(folder: &Path, name: impl AsRef<Path>) -> io::Result<Self> {
        let path = folder.join(&name);
        if fits(&path) {
            return Ok(Self { path, _link: None });
        }
        let mut linked = Self::linked(folder)?;
        linked.path.push(name);
        Ok(linked)
    }

    /// The address of an existing socket.
    pub fn of(socket: &Path) -> io::Result<Self> {
        match fits(socket) {
            true => Ok(Self {
                path: socket.to_owned(),
                _link: None,
            }),
            false => Self::linked(socket),
        }
    }

    /// A short link to `path`. It is in /tmp, because the usual folder for temporary files has a long name on macOS.
    fn linked(path: &Path) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("hs").tempdir_in("/tmp")?;
        let link = folder.path().join("l");
        std::os::unix::fs::symlink(std::path::absolute(path)?, &link)?;
        Ok(Self {
            path: link,
            _link: Some(folder),
        })
    }
}

/// A socket that is not connected yet.
pub fn unconnected() -> io::Result<UnixStream> {
    let made = socket::socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
    keep_private(&made);
    Ok(made.into())
}

/// Connects to a socket by a path of any length.
pub fn connect(stream: &UnixStream, path: &Path) -> io::Result<()> {
    let to = |path: &Path| socket::connect(stream.as_raw_fd(), &UnixAddr::new(path)?);
    match to(path) {
        Err(Errno::ENAMETOOLONG) => Ok(to(Address::of(path)?.as_ref())?),
        direct => Ok(direct?),
    }
}
