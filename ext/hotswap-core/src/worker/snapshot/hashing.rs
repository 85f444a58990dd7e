//! Computes the identity of pages while another thread copies them.
//!
//! Hashing in the thread that copies would make a pull slower, so another thread does it. A copy to a file does not
//! always pass through this process's memory (see [`direct_io`](super::direct_io)), so the hashing thread reads the
//! pages once more, from the page cache. For a pipe, only the hashing thread reads the pages, and passes them on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver, SendError, Sender};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::hashes::{hash_of_chunk, Hashes, CHUNK};
use super::pages::Pages;
use crate::content_id::ContentId;
use crate::error::{Gone, Result};

/// How far the thread may be ahead of the copy, in bytes. What it has read has to stay in the page cache until it is
/// copied, or the disk has to read it twice.
const LEAD: u64 = 64 * 1024 * 1024;

/// How many chunks may be on their way from the thread to a pipe.
const BUFFERS: usize = 4;

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
pub(super) fn alongside<T>(
    pages: &Pages,
    known: &Hashes,
    copy: impl FnOnce(&Pace) -> Result<T>,
) -> Result<(T, ContentId)> {
    let pace = Pace::default();
    std::thread::scope(|scope| {
        let hashing = start(scope, || identity(pages, known, |at| pace.wait_for(at)));
        let _end = EndOnPanic(&pace);
        let copied = copy(&pace);
        pace.end(copied.is_err());
        let identity = outcome(hashing);
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

/// Runs `copy`, which gets `pages` from the thread that computes their identity.
pub(super) fn through<T>(pages: &Pages, copy: impl FnOnce(Chunks) -> Result<T>) -> Result<(T, ContentId)> {
    let (filled, chunks) = channel();
    let (emptied, empty) = channel();
    for _ in 1..BUFFERS {
        let _ = emptied.send(Vec::new());
    }
    let failed = &AtomicBool::new(false);
    // The copy may do without the rest of the pages. Then this thread hashes it alone.
    let pass_on = move |_, chunk| match filled.send(chunk) {
        Ok(()) => Ok(empty.recv().unwrap_or_default()),
        Err(_) if failed.load(Ordering::Relaxed) => Err(Gone::Interrupted.into()),
        Err(SendError(chunk)) => Ok(chunk),
    };
    std::thread::scope(|scope| {
        let hashing = start(scope, move || {
            identity_of_chunks(pages, &Hashes::default(), pass_on)
        });
        let copied = copy(Chunks {
            length: pages.len(),
            chunks,
            emptied,
        });
        failed.store(copied.is_err(), Ordering::Relaxed);
        match (copied, outcome(hashing)) {
            // The copy has failed because the thread could not read.
            (Err(_), Err(error)) if !error.is_gone() => Err(error),
            (copied, identity) => Ok((copied?, identity?)),
        }
    })
}

/// Chunks of pages that come from the thread that hashes them.
pub(crate) struct Chunks {
    /// Of all pages, in bytes.
    length: u64,
    chunks: Receiver<Vec<u8>>,
    emptied: Sender<Vec<u8>>,
}

impl Chunks {
    /// Passes them to `sink`, until it takes less than a whole one. Returns how far it got, in bytes.
    pub(crate) fn stream(self, mut sink: impl FnMut(&[u8]) -> Result<usize>) -> Result<u64> {
        let mut passed = 0;
        while passed < self.length {
            // The thread says why there are no more.
            let chunk = self.chunks.recv().map_err(|_| Gone::Interrupted)?;
            let taken = sink(&chunk)?;
            passed += taken as u64;
            if taken < chunk.len() {
                break;
            }
            let _ = self.emptied.send(chunk);
        }
        Ok(passed)
    }
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> ScopedJoinHandle<'scope, T> {
    Builder::new()
        .name("identity".into())
        .spawn_scoped(scope, work)
        .expect("a process can start one more thread")
}

fn outcome<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The identity of `pages`. `hashed` gets the progress, and can stop it.
pub(super) fn identity(
    pages: &Pages,
    known: &Hashes,
    mut hashed: impl FnMut(u64) -> Result<()>,
) -> Result<ContentId> {
    hashed(0)?;
    identity_of_chunks(pages, known, |end, chunk| hashed(end).map(|()| chunk))
}

/// The identity of `pages`, of which some hashes may be `known`. `hashed` gets the end and the content of each chunk
/// that is not known, and returns a buffer for the next one.
fn identity_of_chunks(
    pages: &Pages,
    known: &Hashes,
    mut hashed: impl FnMut(u64, Vec<u8>) -> Result<Vec<u8>>,
) -> Result<ContentId> {
    let mut chunk = Vec::new();
    let mut hashes = Vec::new();
    for at in (0..pages.len()).step_by(CHUNK) {
        if let Some(hash) = known.get(at) {
            hashes.push(hash);
            continue;
        }
        let length = (pages.len() - at).min(CHUNK as u64) as usize;
        chunk.resize(length, 0);
        pages.read(&mut chunk, at)?;
        hashes.push(hash_of_chunk(&chunk, at, pages.size as usize));
        chunk = hashed(at + length as u64, chunk)?;
    }
    Ok(ContentId::of_chunks(pages.len(), &hashes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Context;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    /// Pages whose last chunk is not a whole one.
    fn pages() -> Pages {
        let main = tempfile::tempfile().unwrap();
        let length = 7 * CHUNK + 4096;
        let content: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
        main.write_all_at(&content, 0).unwrap();
        Pages {
            main,
            log: None,
            size: 4096,
            count: length as u64 / 4096,
            path: "a database".into(),
        }
    }

    fn content(pages: &Pages) -> Vec<u8> {
        let mut content = vec![0; pages.len() as usize];
        pages.read(&mut content, 0).unwrap();
        content
    }

    #[test]
    fn a_copy_gets_all_pages_and_their_identity() {
        let pages = pages();
        let mut copied = Vec::new();
        let (passed, found) = through(&pages, |chunks| {
            chunks.stream(|chunk| {
                copied.extend_from_slice(chunk);
                Ok(chunk.len())
            })
        })
        .unwrap();
        assert_eq!(passed, pages.len());
        assert!(copied == content(&pages));
        assert_eq!(found, identity(&pages, &Hashes::default(), |_| Ok(())).unwrap());
    }

    #[test]
    fn the_identity_is_that_of_all_pages_if_the_copy_takes_fewer() {
        let pages = pages();
        for most in [0, 1000, CHUNK, 3 * CHUNK + 1] {
            let mut left = most;
            let (passed, found) = through(&pages, |chunks| {
                chunks.stream(|chunk| {
                    let taken = left.min(chunk.len());
                    left -= taken;
                    Ok(taken)
                })
            })
            .unwrap();
            assert_eq!(passed, most as u64);
            assert_eq!(found, identity(&pages, &Hashes::default(), |_| Ok(())).unwrap());
        }
    }

    #[test]
    fn the_error_is_that_of_the_side_that_failed() {
        let pages = pages();
        let failed = through(&pages, |chunks| {
            chunks.stream(|_| Err(std::io::Error::other("a full disk")).context("cannot copy"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "cannot copy: a full disk");

        let unreadable = Pages {
            main: File::open("/").unwrap(),
            ..pages
        };
        let failed = through(&unreadable, |chunks| chunks.stream(|chunk| Ok(chunk.len())));
        let failed = failed.unwrap_err().to_string();
        assert!(failed.starts_with("cannot read a database: "), "{failed}");
    }
}
