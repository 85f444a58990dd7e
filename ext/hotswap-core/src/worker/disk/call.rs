//! A disk call in a separate thread, so that requests need not wait for a slow disk. Only the command waits for it.

use std::io;
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use crate::error::{Context, Result};

/// A call that another thread makes. If it is dropped after `begin`, the thread still finishes the call.
pub(crate) struct DiskCall {
    begin: Sender<()>,
    end: Receiver<io::Result<()>>,
}

impl DiskCall {
    /// Starts the thread now, so that `begin` cannot fail to start it later.
    pub(crate) fn prepare(call: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<Self> {
        let (begin, begun) = channel();
        let (ended, end) = channel();
        std::thread::Builder::new()
            .name("disk".into())
            .spawn(move || {
                if begun.recv().is_ok() {
                    // The receiver may be gone when the process ends.
                    let _ = ended.send(call());
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { begin, end })
    }

    /// Makes the thread start the call.
    pub(crate) fn begin(&self) {
        // Cannot fail: the thread is waiting for it.
        let _ = self.begin.send(());
    }

    /// The outcome of the call, or `None` if there is none yet at `deadline`.
    pub(crate) fn wait_until(&self, deadline: Instant) -> Option<io::Result<()>> {
        match self
            .end
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(ended())),
        }
    }

    /// The outcome of the call, however long it takes.
    pub(crate) fn wait(&self) -> io::Result<()> {
        self.end.recv().unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that syncs the disk ended")
}
