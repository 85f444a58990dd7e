//! The sync that makes a rename durable, in a thread of its own: a slow disk is the user's to wait for, and not a request's.

use std::fs::File;
use std::io;
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::time::Instant;

use crate::error::{Context, Result};

/// See the module.
pub struct FolderSync {
    begin: Sender<()>,
    end: Receiver<io::Result<()>>,
}

impl FolderSync {
    /// Starts the thread, so that nothing can keep it from starting after the rename.
    pub fn prepare(folder: File) -> Result<Self> {
        let (begin, begun) = channel();
        let (ended, end) = channel();
        std::thread::Builder::new()
            .name("folder-sync".into())
            .spawn(move || {
                if begun.recv().is_ok() {
                    // Nobody hears it where the process ends.
                    let _ = ended.send(folder.sync_all());
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { begin, end })
    }

    /// Begins to sync.
    pub fn begin(&self) {
        // The thread waits for it.
        let _ = self.begin.send(());
    }

    /// What came of it, if that is known at `deadline`.
    pub fn wait_until(&self, deadline: Instant) -> Option<io::Result<()>> {
        match self
            .end
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Err(io::Error::other("the thread that syncs ended"))),
        }
    }

    /// What came of it, however long that takes.
    pub fn wait(&self) -> io::Result<()> {
        let ended = || Err(io::Error::other("the thread that syncs ended"));
        self.end.recv().unwrap_or_else(|_| ended())
    }
}
