//! What the process at the other end of a connection did wrong: it has gone, or it does not keep to the protocol.

use std::io;
use std::time::Duration;

use super::words::in_words;

/// The peer has closed the connection, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum Gone {
    /// The client has ended or was interrupted.
    #[error("the client disconnected")]
    Client,
    /// The program that sends the database ended in the middle of it.
    #[error("the sender ended before all data had arrived")]
    Sender,
    /// The worker ended before it had reported the end of the command.
    #[error("the worker ended before it reported the outcome")]
    Worker,
    /// The connection ended between two frames.
    #[error("the connection ended")]
    Connection,
    /// The connection ended within a frame.
    #[error("the connection ended in the middle of a frame")]
    MidFrame,
    /// The system reports that the connection is broken.
    #[error("the connection broke: {}", in_words(source))]
    Broken { source: io::Error },
    /// The command was ended from outside.
    #[error("the command was interrupted")]
    Interrupted,
    /// The client can do the work itself, and this server manages neither side.
    #[error("left to the client, which manages a database that this application does not")]
    Declined,
}

/// The peer has sent something that the protocol does not allow, or has not sent what it requires.
#[derive(Debug, thiserror::Error)]
pub enum Protocol {
    /// The client has sent its own reason.
    #[error("the client gave up: {why}")]
    GaveUp { why: String },
    /// Another message was due.
    #[error("unexpected message from {from}")]
    Unexpected { from: &'static str },
    /// A message was due, and did not come.
    #[error("the message came without {what}")]
    Missing { what: &'static str },
    /// The peer neither sends nor takes a byte.
    #[error("gave up: the process at the other end of the connection stopped sending and receiving")]
    Silent,
    /// The program that is piped to the command neither sends nor takes a byte.
    #[error("gave up: the program at the other end of the pipe has been idle for {} s. Pass --timeout SECONDS to wait longer", time.as_secs())]
    IdlePipe { time: Duration },
    /// Data came instead of a message.
    #[error("received data instead of a message")]
    DataInstead,
    /// The first message is none that opens a session.
    #[error("the first message is not a greeting")]
    NoGreeting,
    /// The greeting took too long.
    #[error("the greeting took too long")]
    SlowGreeting,
    /// The bytes are no frame.
    #[error("the process at the other end does not speak hotswap's protocol (frame kind {kind})")]
    UnknownFrame { kind: u8 },
    /// A frame is too long.
    #[error("received a frame of {length} bytes, longer than the {longest} allowed")]
    LongFrame { length: usize, longest: usize },
    /// A message is too long to be sent.
    #[error("cannot send a message longer than {longest} bytes")]
    LongMessage { longest: usize },
    /// A message cannot be written as JSON.
    #[error("cannot send a message: {source}")]
    Unsendable { source: serde_json::Error },
    /// A message cannot be parsed.
    #[error("received an unknown message: {source}. Use the same version of hotswap on both sides")]
    UnknownMessage { source: serde_json::Error },
    /// A descriptor does not allow what is to be done with it.
    #[error("{what} cannot be used with the rights that it was opened with")]
    NoRight { what: &'static str },
    /// The target of a pull already has content.
    #[error("the target is not a new, regular file")]
    OldTarget,
}
