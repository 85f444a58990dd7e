//! Questions from native threads to the application. One Ruby thread answers them.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hotswap_core::member::{CatchingUp, Host, Running};
use hotswap_core::sys::event::Event;
use hotswap_core::visible;
use magnus::{function, Error, Object, RModule, Ruby};

use crate::file_name::FileName;
use crate::{raise, runtime};

/// How many lines may wait for the log. If the application is too busy to log, the newest lines are lost.
const MOST_LINES: usize = 1000;
/// How long the application may take to report what it is doing. After that, no report is sent.
const SOON: Duration = Duration::from_millis(100);
/// How long a command that has ended waits for its last lines in the log.
const LAST_LINES: Duration = Duration::from_secs(1);
/// How long a swap waits for the application's `before_swap` blocks, with the gate open.
const PREPARATION: Duration = Duration::from_secs(1);
/// How much longer than its time the application's probe may take to answer.
const SLACK: Duration = Duration::from_secs(5);
/// How long the application may take to clear its cached schema while requests wait.
const REFRESH: Duration = Duration::from_secs(2);

/// The pending questions and answers of this process.
pub(crate) struct Mailbox {
    questions: Mutex<VecDeque<Question>>,
    answers: Mutex<HashMap<u64, Sender<Answer>>>,
    /// The databases of which the application has yet to forget something, by the number of the question.
    catching_up: Mutex<HashMap<u64, CatchingUp>>,
    /// A number is never used twice, so that a late answer is not taken for the answer to a later question.
    asked: AtomicU64,
    posted: Event,
}

/// A question for Ruby: a number for the answer (0 if no answer is expected), a kind, the subject, and a text.
type Question = (u64, &'static str, FileName, String);

/// Ruby's answer: whether it worked, and lines.
type Answer = (bool, Vec<String>);

impl Mailbox {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            questions: Mutex::default(),
            answers: Mutex::default(),
            catching_up: Mutex::default(),
            asked: AtomicU64::new(0),
            posted: Event::new()?,
        })
    }

    /// Queues a line for the application's log.
    pub(crate) fn log(&self, level: &'static str, text: String) {
        self.tell("log", level, text);
    }

    /// Queues what a command did, as JSON, for the application's subscribers.
    pub(crate) fn event(&self, json: String) {
        self.tell("event", "", json);
    }

    /// Runs the application's probe of the new content of `database`. Returns why it failed.
    pub(crate) fn probe(&self, database: &Path, timeout: Duration) -> Option<String> {
        let seconds = timeout.as_secs_f64().to_string();
        // Ruby ends the block in time, unless the block is in code that Ruby cannot interrupt.
        match self.ask("probe", FileName::of(database), seconds, timeout + SLACK) {
            Some((true, _)) => None,
            Some((false, why)) => Some(why.join("; ")),
            None => Some("config.hotswap.probe does not end".into()),
        }
    }

    fn tell(&self, kind: &'static str, subject: &str, text: String) {
        let mut questions = lock(&self.questions);
        if questions.len() < MOST_LINES {
            questions.push_back((0, kind, FileName(subject.into()), text));
            self.posted.set();
        }
    }

    /// Waits until the application has written every line that is in the queue now. The thread that answers must be
    /// running.
    pub(crate) fn wait_for_log(&self) {
        // A slow log still gets the lines, if its process goes on.
        let _ = self.ask("written", FileName(OsString::new()), String::new(), LAST_LINES);
    }

    fn ask(
        &self,
        kind: &'static str,
        subject: FileName,
        detail: String,
        patience: Duration,
    ) -> Option<Answer> {
        let (answered, answer) = channel();
        let number = self.next_number();
        lock(&self.answers).insert(number, answered);
        lock(&self.questions).push_back((number, kind, subject, detail));
        self.posted.set();
        let answer = answer.recv_timeout(patience).ok();
        lock(&self.answers).remove(&number);
        answer
    }

    fn next_number(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn take(&self) -> Option<Question> {
        let mut questions = lock(&self.questions);
        if questions.is_empty() {
            self.posted.clear();
        }
        questions.pop_front()
    }

    fn answer(&self, number: u64, worked: bool, lines: Vec<String>) {
        match lock(&self.answers).remove(&number) {
            // The thread that asked may have stopped waiting at this moment.
            Some(asking) => drop(asking.send((worked, lines))),
            None => drop(lock(&self.catching_up).remove(&number)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host for Mailbox {
    fn prepare(&self, database: &Path) {
        // Blocks that take longer still finish, while the swap goes on.
        let _ = self.ask("prepare", FileName::of(database), String::new(), PREPARATION);
    }

    fn disconnect(&self, database: &Path, timeout: Duration) -> Result<(), String> {
        let path = FileName::of(database);
        match self.ask("disconnect", path, timeout.as_secs_f64().to_string(), timeout) {
            Some((true, _)) => Ok(()),
            Some((false, why)) => Err(why.join("; ")),
            None => Err("did not close its connections within max_pause".into()),
        }
    }

    fn refresh(&self, database: &Path) {
        // A slow refresh still finishes, while requests already run again.
        let _ = self.ask("refresh", FileName::of(database), String::new(), REFRESH);
    }

    fn swapped(&self, one: CatchingUp, held: Duration) {
        let (number, path) = (self.next_number(), FileName::of(one.database()));
        let milliseconds = format!("{:.1}", held.as_secs_f64() * 1e3);
        lock(&self.catching_up).insert(number, one);
        lock(&self.questions).push_back((number, "swapped", path, milliseconds));
        self.posted.set();
    }

    fn running(&self, database: Option<&Path>, age: Duration) -> Vec<Running> {
        let database = database.map_or(FileName(OsString::new()), FileName::of);
        let answer = self.ask("running", database, age.as_secs_f64().to_string(), SOON);
        let (_, lines) = answer.unwrap_or_default();
        lines.iter().filter_map(|line| running(line)).collect()
    }

    fn keeps_nothing_of(&self, database: &Path) -> Option<bool> {
        let (worked, lines) = self.ask("kept", FileName::of(database), String::new(), SOON)?;
        match lines.first().map(String::as_str) {
            Some("connection") => None,
            line => Some(worked && line.is_none()),
        }
    }
}

/// Parses "4.2 GET /reports": an age in seconds, and the name of the unit.
fn running(line: &str) -> Option<Running> {
    let (seconds, what) = line.split_once(' ')?;
    Some(Running {
        what: what.into(),
        age: Duration::try_from_secs_f64(seconds.parse().ok()?).ok()?,
    })
}

fn mailbox(ruby: &Ruby) -> Result<&'static Mailbox, Error> {
    runtime::current()
        .map(|runtime| &*runtime.mailbox)
        .map_err(|error| raise(ruby, &error))
}

fn descriptor(ruby: &Ruby) -> Result<i32, Error> {
    Ok(mailbox(ruby)?.posted.raw())
}

fn next_question(ruby: &Ruby) -> Result<Option<Question>, Error> {
    Ok(mailbox(ruby)?.take())
}

/// The lines can have any encoding, because a request's path can contain any bytes.
fn answer(ruby: &Ruby, number: u64, worked: bool, lines: Vec<FileName>) -> Result<(), Error> {
    let lines = lines.iter().map(|line| visible::line(line.0.as_bytes()));
    mailbox(ruby)?.answer(number, worked, lines.collect());
    Ok(())
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("mailbox_descriptor", function!(descriptor, 0))?;
    native.define_singleton_method("next_question", function!(next_question, 0))?;
    native.define_singleton_method("answer", function!(answer, 3))?;
    Ok(())
}
