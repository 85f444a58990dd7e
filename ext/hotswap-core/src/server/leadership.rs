//! Leadership is a POSIX lock on `<socket>.lock`. The sockets belong to the process that holds it.
//!
//! A socket file does not show whether a process listens: it outlives its process, and an `unlink` removes the file
//! that has that name by then. So only the holder of the lock creates or removes sockets. It puts a new one in place
//! with a rename, so that there is always one. It removes only the inode that it created.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{shutdown, Shutdown};
use tokio::net::UnixListener;

use crate::error::{Context, Failed, Result};
use crate::fence::open_or_make;
use crate::protocol::leader::{lock_of, signature};
use crate::protocol::Connection;
use crate::sys::fork::{self, CloseInChild};
use crate::sys::identity::Identity;
use crate::sys::record_lock::{try_lock, wait_for_lock, Kind, ALL};
use crate::sys::socket::{peer, Address};

/// How long a killed leader may go on listening after it has lost its lock, because the kernel closes its
/// descriptors one after the other.
const DYING: Duration = Duration::from_secs(1);

/// The lock on leadership.
pub(super) struct Leadership {
    socket: PathBuf,
    /// Whether another process was the leader while this one waited.
    pub taken_over: bool,
    _lock: File,
}

/// Both listening sockets.
pub(super) struct Sockets {
    pub main: ListeningSocket,
    pub stderr: ListeningSocket,
}

/// A listening socket. Dropping it removes its file.
pub(super) struct ListeningSocket {
    // Dropped before the listener that it refers to.
    _private: CloseInChild,
    pub listener: UnixListener,
    path: PathBuf,
    made: Identity,
}

impl Leadership {
    /// Waits until no other process leads, no matter how long.
    pub(super) fn wait(socket: &Path) -> Result<Self> {
        make_folder_of(socket)?;
        let path = lock_of(socket);
        let lock = open_or_make(&path).on_path("cannot open", &path)?;
        let free = try_lock(&lock, Kind::Exclusive, ALL);
        let taken_over = free.is_err();
        if taken_over {
            wait_for_lock(&lock, Kind::Exclusive, ALL).on_path("cannot lock", &path)?;
        }
        // A client that finds no listening process reads this to tell a restart from an end. Without it the client
        // cannot name the process.
        let signature = signature(std::process::id()).unwrap_or_default();
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.write_all_at(signature.as_bytes(), 0));
        Ok(Self {
            socket: socket.to_owned(),
            taken_over,
            _lock: lock,
        })
    }

    /// Starts to listen on both sockets.
    pub(super) fn listen(&self, stderr: &Path) -> Result<Sockets> {
        Ok(Sockets {
            main: ListeningSocket::open(&self.socket)?,
            stderr: ListeningSocket::open(stderr)?,
        })
    }
}

/// Creates the folder of a socket. Each socket may be configured with its own folder.
fn make_folder_of(socket: &Path) -> Result<()> {
    let folder = socket.parent().unwrap_or(Path::new("/"));
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .on_path("cannot create the folder of the socket", folder)
}

impl ListeningSocket {
    fn open(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        make_folder_of(path)?;
        refuse_what_is_not_ours(path)?;
        let draft_name = draft_name(path);
        let address = Address::in_folder(folder, &draft_name)
            .on_path("cannot open the folder of the socket", folder)?;
        let draft = folder.join(&draft_name);
        // An earlier process with the same pid may have left it.
        let _ = std::fs::remove_file(&draft);
        let (listener, private) = fork::without_fork(|| {
            StdListener::bind(&address).map(|listener| {
                let private = CloseInChild::keep(&listener);
                (listener, private)
            })
        })
        .on_path("cannot create the socket", path)?;
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))
            .on_path("cannot set the mode of", path)?;
        let made = Identity::of(&std::fs::symlink_metadata(&draft).on_path("cannot stat", &draft)?);
        std::fs::rename(&draft, path).on_path("cannot put the socket in place at", path)?;
        listener.set_nonblocking(true).on_path("cannot set up", path)?;
        let listener = UnixListener::from_std(listener).on_path("cannot listen on", path)?;
        Ok(Self {
            _private: private,
            listener,
            path: path.to_owned(),
            made,
        })
    }
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        // The shutdown also ends listening in any process that has inherited the socket, such as a child that was
        // forked just now.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if std::fs::symlink_metadata(&self.path).is_ok_and(|there| Identity::of(&there) == self.made) {
            // An error means that the file is already gone, which is the goal.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The name of a socket until it is in place: short enough for [`Address`], and different for the stderr socket.
fn draft_name(path: &Path) -> String {
    let which = xxhash_rust::xxh3::xxh3_64(path.as_os_str().as_encoded_bytes());
    format!(".{which:016x}.{}", std::process::id())
}

fn refuse_what_is_not_ours(path: &Path) -> Result<()> {
    let Ok(there) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !there.file_type().is_socket() {
        return Err(Failed::NotASocket {
            path: path.to_owned(),
        }
        .into());
    }
    let patience = Instant::now() + DYING;
    while let Ok(answered) = Connection::to(path) {
        if Instant::now() < patience {
            drop(answered);
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        return Err(Failed::SocketInUse {
            path: path.to_owned(),
            pid: peer(answered.stream()).map(|peer| peer.pid),
        }
        .into());
    }
    Ok(())
}
