//! Exit status 1: no server answers, or the one that answers cannot serve this client.

use std::io;
use std::path::PathBuf;

use super::words::in_words;
use crate::visible::Shown;

/// Why the client has no server.
#[derive(Debug, thiserror::Error)]
pub enum NoServer {
    /// There is no socket at the path.
    #[error(
        "socket not found at {}\nIs the application running, with hotswap in its Gemfile? \
         Run the command in the application's folder, or name the socket with --socket or HOTSWAP_SOCKET. \
         If no server runs, add --offline",
        socket.shown()
    )]
    NoSocket { socket: PathBuf },
    /// The process that listened has not come back yet.
    #[error("no process listens at {}: the application is restarting (process {pid}). Try again in a moment", socket.shown())]
    Restarting { socket: PathBuf, pid: u32 },
    /// The process that listened has left its socket.
    #[error(
        "no process listens at {}: the application that created this socket has ended. Start it, or add --offline",
        socket.shown()
    )]
    Ended { socket: PathBuf },
    /// The socket belongs to another user.
    #[error(
        "not allowed to use {}: it belongs to {owner}. Run this command as the user that runs the application, or as root",
        socket.shown()
    )]
    NotAllowed { socket: PathBuf, owner: String },
    /// The system cannot connect, for another reason.
    #[error("cannot connect to {}: {}", socket.shown(), in_words(source))]
    Unreachable { socket: PathBuf, source: io::Error },
    /// Another program listens at the socket, or a server that hangs.
    #[error(
        "the server at {} does not answer as a hotswap server does ({why}). Restart the application, or name \
         another socket with --socket or HOTSWAP_SOCKET",
        socket.shown()
    )]
    NotHotswap { socket: PathBuf, why: String },
    /// The command and the application speak different protocols.
    #[error(
        "this command is hotswap {command}, but the running application has loaded hotswap {application}. \
         Restart the application, or run the command of its version"
    )]
    OtherVersion { command: String, application: String },
    /// The server serves another user only.
    #[error("the server runs as uid {server} and serves that user and root only, not uid {client}. Run this command as one of them")]
    OtherUser { server: u32, client: u32 },
    /// The server has no room for one more client.
    #[error("the server already has {clients} clients. Try again later")]
    Full { clients: usize },
    /// The second connection of the client went to another server.
    #[error(
        "the server got no second connection on its stderr socket. Two servers may have the same stderr_socket_path: give \
         each its own"
    )]
    NoSecondConnection,
    /// The server has sent its reason.
    #[error("{why}")]
    Rejected { why: String },
}
