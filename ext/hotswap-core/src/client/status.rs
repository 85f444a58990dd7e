//! Receives what the server sends besides the data: lines for standard error, and progress.

use std::io::Write;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Stdio;
use crate::error::{Context, Result};
use crate::protocol::{Connection, Message};
use crate::visible;

/// A shorter transfer gets no progress bar.
const LASTS: Duration = Duration::from_millis(500);

/// The thread that reads the stderr socket to its end.
pub(super) struct Listener {
    socket: Connection,
    thread: Option<JoinHandle<()>>,
    screen: Arc<Mutex<Screen>>,
}

struct Screen {
    stderr: Stdio,
    quiet: bool,
    started: Instant,
    bar: Option<ProgressBar>,
    stage: Option<Stage>,
    /// The last error from the server.
    error: Option<String>,
}

/// A part of a command that has its own progress bar.
struct Stage {
    name: String,
    shape: &'static str,
    /// When the first progress message of the stage arrived, and how many bytes were done then.
    since: Instant,
    from: u64,
}

impl Stage {
    fn new(name: &str, shape: &'static str, from: u64) -> Self {
        Self {
            name: name.to_owned(),
            shape,
            since: Instant::now(),
            from,
        }
    }

    /// The template of a stage's bar. Some stages report bytes and a total, some only bytes, and some only that they
    /// go on.
    fn shape(done: u64, total: u64) -> &'static str {
        match (done, total) {
            (0, 0) => "{msg} {elapsed}",
            (_, 0) => "{msg} {bytes}{prefix}",
            _ => "{msg} [{bar:30}] {bytes}/{total_bytes}{prefix}",
        }
    }

    /// " 120.00 MiB/s" since the stage began; empty while it is too early for a useful rate.
    fn rate(&self, done: u64) -> String {
        let time = self.since.elapsed();
        if time < LASTS {
            return String::new();
        }
        let rate = done.saturating_sub(self.from) as f64 / time.as_secs_f64();
        format!(" {}/s", HumanBytes(rate as u64))
    }
}

impl Listener {
    /// Starts to listen. Writes the lines to `stderr`, and draws the bar only on a terminal. Errors name the `subject`.
    pub(super) fn start(
        connection: Connection,
        stderr: &Stdio,
        quiet: bool,
        subject: Option<String>,
    ) -> Result<Self> {
        let stderr = stderr.try_clone().context("cannot use standard error")?;
        let socket = connection.try_clone().context("cannot use the stderr socket")?;
        let screen = Arc::new(Mutex::new(Screen {
            stderr,
            quiet,
            started: Instant::now(),
            bar: None,
            stage: None,
            error: None,
        }));
        let shared = screen.clone();
        let listen = move || {
            while let Ok(Some(message)) = connection.receive() {
                let mut screen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match message {
                    Message::Status(text) if !quiet => screen.line(&text),
                    Message::Error(text) => {
                        screen.line(&error_line(subject.as_deref(), &text));
                        screen.error = Some(text);
                    }
                    Message::Progress { stage, done, total } => screen.progress(&stage, done, total),
                    _ => {}
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("stderr".into())
            .spawn(listen)
            .context("cannot start a thread")?;
        Ok(Self {
            socket,
            thread: Some(thread),
            screen,
        })
    }

    /// Prints a line of the client's own.
    pub(super) fn status(&self, text: &str) {
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        if !screen.quiet {
            screen.line(text);
        }
    }

    /// Reports progress of the client's own.
    pub(super) fn progress(&mut self, stage: &str, done: u64, total: u64) {
        self.screen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .progress(stage, done, total);
    }

    /// Stops listening.
    pub(super) fn abandon(&self) {
        // A connection that has already ended is just as silent.
        let _ = self.socket.stream().shutdown(Shutdown::Both);
    }

    /// Waits until everything from the server is on the screen. Returns the server's error, if it sent one.
    pub(super) fn finish(&mut self) -> Option<String> {
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has already been printed.
            let _ = thread.join();
        }
        let mut screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        screen.clear();
        screen.error.take()
    }
}

/// "ERROR: cannot write backup.sqlite3", or with a subject "ERROR: primary: cannot write ...".
pub fn error_line(subject: Option<&str>, text: &str) -> String {
    match subject {
        Some(subject) => format!("ERROR: {subject}: {text}"),
        None => format!("ERROR: {text}"),
    }
}

impl Screen {
    fn line(&mut self, text: &str) {
        self.clear();
        // A closed standard error is not a failure.
        let _ = writeln!(self.stderr, "{}", visible::lines(text));
    }

    fn progress(&mut self, stage: &str, done: u64, total: u64) {
        if self.quiet || !self.stderr.is_terminal() {
            return;
        }
        let shape = Stage::shape(done, total);
        let goes_on = |current: &Stage| current.name == stage && current.shape == shape;
        if !self.stage.as_ref().is_some_and(goes_on) {
            self.clear();
            self.stage = Some(Stage::new(stage, shape, done));
        }
        if self.started.elapsed() < LASTS {
            return;
        }
        let rate = self
            .stage
            .as_ref()
            .map_or(String::new(), |stage| stage.rate(done));
        // A bar redraws itself with each change, so it stays hidden until it is complete.
        let bar = self.bar.get_or_insert_with(|| {
            let hidden = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
            let style = ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar());
            hidden.with_style(style.progress_chars("#>-"))
        });
        bar.set_message(visible::line(stage));
        bar.set_prefix(rate);
        if total > 0 {
            bar.set_length(total);
        }
        bar.set_position(done);
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
