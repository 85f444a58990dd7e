//! A large file that nobody is about to read, written past the page cache.
//!
//! It costs half the processor time of a copy by way of the cache, takes no longer, and leaves the cache to the
//! application, whose pages a gigabyte would push out. While the disk takes one part the next one is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{channel, sync_channel};

use super::pages::Pages;
use super::writeback::Writeback;
use crate::error::{Context, Result};

/// How many bytes are written at once. With an eighth of it a disk takes a third longer.
const PART: usize = 2 * 1024 * 1024;
/// What addresses, offsets and lengths have to be multiples of, on every disk that we know of.
const BLOCK: usize = 4096;

/// Writes what of `pages` begins at `from` to the same place in `target`, which is as long afterwards as they are, and
/// not durable yet; a little before it as well. `copied` is told how far it is, and may end it.
pub fn copy(
    pages: &Pages,
    target: &File,
    from: u64,
    mut copied: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let begin = from - from % PART as u64;
    let mut way = Way::open(target, begin);
    std::thread::scope(|scope| {
        let (filled, parts) = sync_channel(1);
        let (emptied, buffers) = channel();
        for _ in 0..2 {
            emptied.send(Buffer::new()).expect("the other end is here");
        }
        scope.spawn(move || {
            for at in (begin..pages.len()).step_by(PART) {
                // The other thread has given up where one of these fails.
                let Ok(mut buffer) = buffers.recv() else { return };
                let length = (pages.len() - at).min(PART as u64) as usize;
                let part = pages
                    .read(buffer.first(length), at)
                    .map(|()| (buffer, at, length));
                if filled.send(part).is_err() {
                    return;
                }
            }
        });
        for part in parts {
            let (mut buffer, at, length) = part?;
            way.write(buffer.first(length), at)
                .context("cannot write the snapshot")?;
            copied(at + length as u64)?;
            // Nobody waits for a buffer any more after the last part.
            let _ = emptied.send(buffer);
        }
        Ok(())
    })
}

/// Memory that begins where a disk can read it.
struct Buffer {
    memory: Vec<u8>,
    begin: usize,
}

impl Buffer {
    fn new() -> Self {
        let memory = vec![0; PART + BLOCK];
        let begin = memory.as_ptr().align_offset(BLOCK);
        Self { memory, begin }
    }

    fn first(&mut self, length: usize) -> &mut [u8] {
        &mut self.memory[self.begin..self.begin + length]
    }
}

/// Past the cache for as long as that works; then through it, as any file.
struct Way<'a> {
    file: &'a File,
    past_cache: bool,
    writeback: Writeback,
}

impl<'a> Way<'a> {
    fn open(file: &'a File, begin: u64) -> Self {
        let past_cache = pass_cache(file, true).is_ok();
        Self {
            file,
            past_cache,
            writeback: Writeback::from(begin),
        }
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        // The last part of a database with small pages.
        if at % BLOCK as u64 != 0 || bytes.len() % BLOCK != 0 {
            self.give_up()?;
        }
        match self.file.write_all_at(bytes, at) {
            // A disk with larger blocks, or one that took half of it.
            Err(error) if self.past_cache && error.raw_os_error() == Some(libc::EINVAL) => {
                self.give_up()?;
                self.file.write_all_at(bytes, at)?;
            }
            result => result?,
        }
        if self.past_cache {
            return Ok(());
        }
        self.writeback.follow(self.file, at + bytes.len() as u64)
    }

    fn give_up(&mut self) -> io::Result<()> {
        if self.past_cache {
            pass_cache(self.file, false)?;
            self.past_cache = false;
        }
        Ok(())
    }
}

impl Drop for Way<'_> {
    fn drop(&mut self) {
        // The client has the file as well, and may write to it in its own way.
        let _ = self.give_up();
    }
}

#[cfg(target_os = "linux")]
fn pass_cache(file: &File, past: bool) -> io::Result<()> {
    use nix::fcntl::{fcntl, FcntlArg, OFlag};

    let mut flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_DIRECT, past);
    fcntl(file, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn pass_cache(_file: &File, _past: bool) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
