//! What a worker reports when a signal ends it.
//!
//! A worker is no process's child (see `sys/linux/spawn.rs`), so no process learns its exit status. When a fault ends
//! it, its own signal handler tells the client and the application's log. It sends frames that were made beforehand,
//! because a signal handler may do little more than write. The fault then takes its course, with a core dump if the
//! machine is configured to keep one.
//!
//! SIGKILL has no handler. A worker that ends without a report was killed: it reports every other end.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::sys::signal::{sigaction, SaFlags, SigAction, SigHandler, SigSet, Signal};

use super::client::Client;
use crate::error::Result;
use crate::exit_code::ExitCode;
use crate::protocol::{Connection, Message, Narration};

const FAULT: &str = "a bug in SQLite, in an extension that the application loads, or in hotswap";

/// The signals that end a worker, and the meaning of each. Ruby handles those that ask a process to end.
const FATAL: [(Signal, &str); 7] = [
    (Signal::SIGSEGV, FAULT),
    (Signal::SIGILL, FAULT),
    (Signal::SIGFPE, FAULT),
    (Signal::SIGABRT, FAULT),
    (Signal::SIGBUS, "the disk could not read a page of a file"),
    (
        Signal::SIGXFSZ,
        "a file would have grown beyond this user's limit (ulimit -f)",
    ),
    (
        Signal::SIGXCPU,
        "it has used up this user's processor time (ulimit -t)",
    ),
];

/// Reports a fatal signal while a command is running.
pub(super) struct LastWords(());

type Words = Vec<(Signal, Vec<Line>)>;

struct Line {
    to: RawFd,
    frame: Vec<u8>,
}

static WORDS: AtomicPtr<Words> = AtomicPtr::new(std::ptr::null_mut());

impl LastWords {
    /// Must be dropped before any connection of `client` is closed: another file may get the number of its
    /// descriptor.
    pub(super) fn prepare(client: &Client) -> Result<Self> {
        let words = FATAL
            .iter()
            .map(|(signal, meaning)| Ok((*signal, lines(client, &sentence(*signal, meaning))?)))
            .collect::<Result<Words>>()?;
        // Never freed: a process runs one command, and the handler may read the frames at any time.
        WORDS.store(Box::into_raw(Box::new(words)), Ordering::Release);
        let flags = SaFlags::SA_ONSTACK | SaFlags::SA_RESETHAND | SaFlags::SA_NODEFER;
        let action = SigAction::new(SigHandler::Handler(speak), flags, SigSet::empty());
        for (signal, _) in FATAL {
            // SAFETY: the handler calls only async-signal-safe functions. If it cannot be set, the client is told
            // that the worker was killed.
            let _ = unsafe { sigaction(signal, &action) };
        }
        Ok(Self(()))
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        WORDS.store(std::ptr::null_mut(), Ordering::Release);
    }
}

fn sentence(signal: Signal, meaning: &str) -> String {
    format!(
        "{signal} ended the worker (process {}): {meaning}. The database is whole: it is either the old or the new one. \
         See the application's log, then try again",
        std::process::id()
    )
}

fn lines(client: &Client, sentence: &str) -> Result<Vec<Line>> {
    let line = |connection: &Connection, message: &Message| -> Result<Line> {
        Ok(Line {
            to: connection.as_fd().as_raw_fd(),
            frame: message.to_frame()?,
        })
    };
    let narration = Narration {
        level: "error".into(),
        text: format!("command failed: {sentence}"),
    };
    let done = Message::Done {
        code: ExitCode::Failed as u8,
        figures: None,
    };
    let (main, stderr, leader) = client.connections();
    let error = Message::Error(sentence.into());
    let mut lines = vec![line(leader, &Message::Log(narration))?, line(leader, &done)?];
    lines.extend(stderr.map(|stderr| line(stderr, &error)).transpose()?);
    lines.push(line(main, &done)?);
    Ok(lines)
}

/// A stack for the signal handler, for the thread that made it and for as long as this value lives. The thread's own
/// stack may have overflowed. Ruby provides one for its own threads.
pub(super) struct Room(#[allow(dead_code)] Vec<u8>);

impl Room {
    /// For the calling thread.
    pub(super) fn for_last_words() -> Self {
        const SIZE: usize = 64 * 1024;
        let mut room = vec![0; SIZE];
        set_stack(room.as_mut_ptr(), SIZE, 0);
        Self(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        set_stack(std::ptr::null_mut(), 0, libc::SS_DISABLE);
    }
}

fn set_stack(at: *mut u8, size: usize, flags: libc::c_int) {
    let stack = libc::stack_t {
        ss_sp: at.cast(),
        ss_flags: flags,
        ss_size: size,
    };
    // SAFETY: a `Room` outlives the use of its memory. If the call fails, the client is told that the worker was
    // killed.
    unsafe { libc::sigaltstack(&stack, std::ptr::null_mut()) };
}

extern "C" fn speak(number: libc::c_int) {
    // SAFETY: the pointer is null or was made by `prepare`. Only async-signal-safe functions are called.
    unsafe {
        if let Some(words) = WORDS.load(Ordering::Acquire).as_ref() {
            let of_this = words
                .iter()
                .filter(|(signal, _)| *signal as libc::c_int == number);
            for line in of_this.flat_map(|(_, lines)| lines) {
                libc::send(
                    line.to,
                    line.frame.as_ptr().cast(),
                    line.frame.len(),
                    libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
                );
            }
        }
        // SA_RESETHAND has restored the default action.
        libc::raise(number);
    }
}
