//! The protocol between client, leader and worker.
//!
//! A frame is a kind (one byte), a length (four bytes, big endian) and a payload. Messages are JSON; bodies are
//! bytes in chunks. A body ends with an explicit frame that carries its length and checksum, so a sender that dies
//! half way causes an abort, and never looks like an end of file.
//!
//! One session, from the client's point of view:
//!
//! ```text
//! main socket     -> hello                     <- welcome {session} | rejected
//! stderr socket   -> join {session}            <- status, progress, error …, until it is closed
//! main socket     -> request {src, dst, …}     <- send file | send stream | receive file | receive stream
//!   push, file    -> file {…} + descriptor                                      <- committed, probing, done {exit code}
//!   push, stream  -> body, body, …, end {length, checksum}                      <- committed, probing, done {exit code}
//!   pull, file    -> target + descriptor                                        <- done {exit code}
//!   pull, stream                               <- body, body, …, end {…}, done {exit code}
//! main socket     -> query {about, …}          <- body, …, end {…}, or done {exit code} if it fails
//! ```
//!
//! A standard input or output that is a pipe, an input that is a file, or an output that is an empty file comes with
//! the request as a descriptor. The worker itself reads or writes a pipe, and writes a file; it answers wait, then
//! done {exit code}. An input that is a file may have other files next to it, which the worker needs as well, so it
//! answers send file.
//!
//! Up to `join` the client talks to the leader. The worker reads everything after that: the leader hands both
//! connections to it.

mod body;
mod connection;
mod dry_run;
mod frame;
pub mod leader;
mod message;
mod stamp;
mod way;

pub use body::{BodyReader, BodyWriter, Piece, CHUNK};
pub use connection::Connection;
pub use dry_run::{DryRun, Process, RowChange, Side, TableChange};
pub use frame::{Header, Kind, HEADER_LENGTH, LONGEST_HANDOVER, LONGEST_MESSAGE};
pub use message::{
    previous_of, version_of, About, End, Endpoint, Figures, Handover, Message, Narration, Plan, Query,
    Request, STANDARD_INPUT,
};
pub use stamp::Stamp;
pub use way::Way;

/// The version of this protocol. Both sides must use the same one; the greeting itself never changes.
pub const PROTOCOL: u32 = 1;
