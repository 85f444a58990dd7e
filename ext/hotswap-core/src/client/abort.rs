//! Ends a command from outside. A program that runs a command may be interrupted. It then wants the worker to stop,
//! and to know that it has stopped.
//!
//! Asking shuts down the sending half of the main connection. The worker treats that as a client that has gone,
//! stops, and still reports the outcome on the other half.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::Connection;
use crate::sys::event::Event;

/// A request to end one command.
#[derive(Debug)]
pub struct Abort {
    asked: AtomicBool,
    signal: Event,
    connection: Mutex<Option<(Connection, Shutdown)>>,
}

impl Abort {
    /// A request that has not been made yet. Fails if the process is out of file descriptors.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            asked: AtomicBool::new(false),
            signal: Event::new()?,
            connection: Mutex::default(),
        }))
    }

    /// Asks the command to end. Does not wait until it has.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::SeqCst);
        self.signal.set();
        if let Some((connection, how)) = &*self.connection() {
            // The only possible error is that the peer has closed the connection first.
            let _ = connection.stream().shutdown(*how);
        }
    }

    /// Whether the command has been asked to end.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// Makes the request shut down `connection` as well, as `how` says, for as long as the returned value lives.
    pub(super) fn watch(self: &Arc<Self>, connection: &Connection, how: Shutdown) -> io::Result<Watch> {
        let connection = connection.try_clone()?;
        // Stored before the flag is read, so that either this thread or the asking one sees what the other has
        // written.
        *self.connection() = Some((connection, how));
        if self.asked() {
            self.ask();
        }
        Ok(Watch(self.clone()))
    }

    fn connection(&self) -> MutexGuard<'_, Option<(Connection, Shutdown)>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Abort {
    /// Readable once the command has been asked to end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

/// A connection that ends with the command. It stays open for as long as this value lives.
pub(super) struct Watch(Arc<Abort>);

impl Drop for Watch {
    fn drop(&mut self) {
        *self.0.connection() = None;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::testing::eventually;

    fn pair() -> (Connection, Connection) {
        let (one, other) = UnixStream::pair().unwrap();
        (Connection::new(one), Connection::new(other))
    }

    #[test]
    fn the_worker_sees_a_client_that_has_gone_and_can_still_answer() {
        let abort = Abort::new().unwrap();
        let (here, there) = pair();
        let _watch = abort.watch(&here, Shutdown::Write).unwrap();
        assert!(!there.peer_is_gone());
        abort.ask();
        assert!(there.peer_is_gone() && !here.peer_is_gone());
    }

    #[test]
    fn a_connection_that_is_made_after_it_was_asked_for_ends_at_once() {
        let abort = Abort::new().unwrap();
        abort.ask();
        let (here, there) = pair();
        let _watch = abort.watch(&here, Shutdown::Both).unwrap();
        assert!(there.peer_is_gone());
    }

    #[test]
    fn a_connection_that_is_not_watched_any_more_closes() {
        let abort = Abort::new().unwrap();
        let (here, there) = pair();
        drop(abort.watch(&here, Shutdown::Write).unwrap());
        drop(here);
        eventually(|| there.peer_is_gone());
        abort.ask();
    }
}
