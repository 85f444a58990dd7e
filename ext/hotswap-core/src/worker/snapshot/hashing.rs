//! Computes the identity of pages while another thread copies them.
//!
//! A copy does not always pass through this process's memory (see [`direct_io`](super::direct_io)), and hashing in the
//! thread that copies would make a pull slower. So a thread of its own reads the pages once more, from the page cache.

use std::sync::{Condvar, Mutex, PoisonError};

use super::pages::Pages;
use crate::content_id::{hash_of_chunk, ContentId, CHUNK};
use crate::error::{Gone, Result};

/// How far the thread may be ahead of the copy, in bytes. What it has read has to stay in the page cache until it is
/// copied, or the disk has to read it twice.
const LEAD: u64 = 64 * 1024 * 1024;

/// How far a copy has come.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    copied: Mutex<Copied>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct Copied {
    bytes: u64,
    over: bool,
    failed: bool,
}

impl Pace {
    /// The copy has `bytes` now.
    pub(crate) fn reach(&self, bytes: u64) {
        self.change(|copied| copied.bytes = bytes);
    }

    fn end(&self, failed: bool) {
        self.change(|copied| (copied.over, copied.failed) = (true, failed));
    }

    fn change(&self, change: impl FnOnce(&mut Copied)) {
        change(&mut self.copied.lock().unwrap_or_else(PoisonError::into_inner));
        self.moved.notify_one();
    }

    /// Waits until `at` is not too far ahead of the copy. Fails if the copy has failed.
    fn wait_for(&self, at: u64) -> Result<()> {
        let copied = self.copied.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = |copied: &mut Copied| !copied.over && at > copied.bytes + LEAD;
        let copied = self.moved.wait_while(copied, ahead);
        match copied.unwrap_or_else(PoisonError::into_inner).failed {
            true => Err(Gone::Interrupted.into()),
            false => Ok(()),
        }
    }
}

/// Runs `copy`, which copies `pages`, and computes their identity in another thread.
pub(super) fn alongside<T>(pages: &Pages, copy: impl FnOnce(&Pace) -> Result<T>) -> Result<(T, ContentId)> {
    let pace = Pace::default();
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("identity".into());
        let hashing = thread
            .spawn_scoped(scope, || identity(pages, |at| pace.wait_for(at)))
            .expect("a process can start one more thread");
        let _end = EndOnPanic(&pace);
        let copied = copy(&pace);
        pace.end(copied.is_err());
        let identity = hashing
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // If the copy has failed, that is why there is no identity.
        Ok((copied?, identity?))
    })
}

/// Otherwise a panic of the copying thread would wait for the other thread for ever.
struct EndOnPanic<'a>(&'a Pace);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end(true);
        }
    }
}

/// The identity of `pages`. `hashed` gets the progress, and can stop it.
pub(super) fn identity(pages: &Pages, mut hashed: impl FnMut(u64) -> Result<()>) -> Result<ContentId> {
    let mut chunk = vec![0; CHUNK];
    let mut hashes = Vec::new();
    for at in (0..pages.len()).step_by(CHUNK) {
        hashed(at)?;
        let length = (pages.len() - at).min(CHUNK as u64) as usize;
        pages.read(&mut chunk[..length], at)?;
        hashes.push(hash_of_chunk(&chunk[..length], at, pages.size as usize));
    }
    Ok(ContentId::of_chunks(pages.len(), &hashes))
}
