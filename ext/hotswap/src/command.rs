//! The command line, as its own process or inside another one.

use std::cell::RefCell;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use hotswap_core::cli::{self, Application, Surroundings};
use hotswap_core::client::{Abort, Outcome, Stdio, Streams};
use hotswap_core::sys::descriptors;
use hotswap_core::sys::event::Event;
use hotswap_core::sys::fork;
use hotswap_core::visible;
use magnus::{function, method, Class, Error, Module, Object, RModule, Ruby, TypedData};

use crate::file_name::FileName;
use crate::runtime;
use crate::server::{self, Described};

fn own(descriptor: i32) -> std::io::Result<Stdio> {
    // SAFETY: Ruby keeps its IO, and so the descriptor, open for the length of the call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    fork::without_fork(|| borrowed.try_clone_to_owned().map(File::from).map(Stdio::from))
}

/// Opens a stream of a command. If the caller passes no descriptor, the stream is a pipe. Then this also returns the
/// caller's end, which the caller feeds (`is_input`) or drains.
fn open(descriptor: Option<i32>, is_input: bool) -> std::io::Result<(Stdio, Option<Stdio>)> {
    if let Some(descriptor) = descriptor {
        return Ok((own(descriptor)?, None));
    }
    let (reader, writer) = fork::without_fork(|| {
        let (reader, writer) = descriptors::pipe()?;
        let stdio = |end: OwnedFd| Stdio::from(File::from(end));
        Ok::<_, std::io::Error>((stdio(reader), stdio(writer)))
    })?;
    Ok(match is_input {
        true => (reader, Some(writer)),
        false => (writer, Some(reader)),
    })
}

/// Runs a command that is the whole process. Returns its exit status.
fn run_command(
    ruby: &Ruby,
    arguments: Vec<FileName>,
    folder: Option<FileName>,
    program: Option<FileName>,
    gemfile: Option<FileName>,
) -> Result<i32, Error> {
    let surroundings = || -> std::io::Result<Surroundings> {
        Ok(Surroundings {
            folder: folder.map(FileName::into_path),
            program: program.map(FileName::into_path),
            gemfile: gemfile.map(FileName::into_path),
            application: None,
            streams: Streams {
                stdin: own(0)?,
                stdout: own(1)?,
                stderr: own(2)?,
            },
            owns_process: true,
            abort: Abort::new()?,
        })
    };
    let surroundings = surroundings().map_err(|error| failed(ruby, &error))?;
    Ok(cli::run(
        arguments.into_iter().map(|argument| argument.0).collect(),
        surroundings,
    )
    .code
    .into())
}

/// The root of the application that has to run a command with `--offline`. Nil if the command can run here.
fn offline_application(
    arguments: Vec<FileName>,
    folder: Option<FileName>,
    program: Option<FileName>,
    gemfile: Option<FileName>,
) -> Option<FileName> {
    let arguments: Vec<_> = arguments.into_iter().map(|argument| argument.0).collect();
    let [program, gemfile] = [program, gemfile].map(|path| path.map(FileName::into_path));
    let root = cli::offline_application(
        &arguments,
        &folder?.into_path(),
        program.as_deref(),
        gemfile.as_deref(),
    );
    root.map(|root| FileName(root.into()))
}

fn failed(ruby: &Ruby, error: &std::io::Error) -> Error {
    Error::new(ruby.exception_io_error(), error.to_string())
}

/// `Hotswap::Native::Command`: a command that runs in this process besides other work. It is made before it starts,
/// so that no interruption falls between its start and the code that ends it.
#[derive(TypedData)]
#[magnus(class = "Hotswap::Native::Command", free_immediately, size)]
struct Command {
    /// See [`runtime::generation`].
    generation: u64,
    abort: RefCell<Option<Arc<Abort>>>,
    end: RefCell<Option<Arc<End>>>,
    /// The caller's ends of the pipes that stand for standard input, output and error. A forked child must not keep
    /// one: the other side would not see the end of the data.
    pipes: RefCell<[Option<Stdio>; 3]>,
}

/// The outcome of a command, for Ruby.
type Told = (i32, Option<String>, Option<String>);

/// The end of a command, and the signal that reports it.
struct End {
    signal: Event,
    outcome: OnceLock<Outcome>,
}

impl magnus::DataTypeFunctions for Command {}

impl Command {
    fn new(ruby: &Ruby) -> Result<Self, Error> {
        let abort = Abort::new().map_err(|error| failed(ruby, &error))?;
        Ok(Self {
            generation: runtime::generation(),
            abort: RefCell::new(Some(abort)),
            end: RefCell::default(),
            pipes: RefCell::default(),
        })
    }

    /// Whether this process created the command. In a forked child, its parent did.
    fn is_own(&self) -> bool {
        self.generation == runtime::generation()
    }

    /// `start(arguments, folder, [stdin, stdout, stderr], application, [inside, in_transaction])`: the descriptor of
    /// each stream, or nil for a [`pipe`](Self::pipe); the application of this process, as [`Described`], or nil;
    /// whether the caller is part of a request or a job; and the resolved paths of the databases on which it has a
    /// transaction open.
    fn start(
        ruby: &Ruby,
        command: &Self,
        arguments: Vec<FileName>,
        folder: Option<FileName>,
        streams: [Option<i32>; 3],
        application: Option<Described>,
        (inside, in_transaction): (bool, Vec<FileName>),
    ) -> Result<(), Error> {
        let [stdin, stdout, stderr] = streams;
        let Some(abort) = command.abort.borrow().clone() else {
            return Err(Error::new(ruby.exception_io_error(), "the command is closed"));
        };
        let config = application.map(|described| server::config(ruby, described));
        let application = config.transpose()?.map(|config| Application {
            config,
            waited_for: runtime::existing()
                .filter(|_| inside)
                .map_or_else(Vec::new, |runtime| runtime.member.databases()),
            in_transaction: in_transaction.into_iter().map(FileName::into_path).collect(),
        });
        let logs = application.is_some();
        let start = || -> std::io::Result<Arc<End>> {
            let ((stdin, feeds), (stdout, drains), (stderr, hears)) =
                (open(stdin, true)?, open(stdout, false)?, open(stderr, false)?);
            let surroundings = Surroundings {
                folder: folder.map(FileName::into_path),
                program: None,
                gemfile: None,
                application,
                streams: Streams {
                    stdin: stdin.until(&abort),
                    stdout: stdout.until(&abort),
                    stderr,
                },
                owns_process: false,
                abort: abort.clone(),
            };
            let end = Arc::new(End {
                signal: Event::new()?,
                outcome: OnceLock::new(),
            });
            let told = end.clone();
            let run = move || {
                hotswap_core::sys::thread::leave_signals_to_others();
                let outcome = cli::run(
                    arguments.into_iter().map(|argument| argument.0).collect(),
                    surroundings,
                );
                // A program may end right after its command.
                if let Some(runtime) = runtime::existing().filter(|_| logs) {
                    runtime.mailbox.wait_for_log();
                }
                // This thread is the only one that sets it.
                let _ = told.outcome.set(outcome);
                told.signal.set();
            };
            std::thread::Builder::new()
                .name("hotswap-command".into())
                .spawn(run)?;
            command.pipes.replace([feeds, drains, hears]);
            Ok(end)
        };
        let end = start().map_err(|error| failed(ruby, &error))?;
        command.end.replace(Some(end));
        Ok(())
    }

    /// A file descriptor that is readable when the command has ended; nil before it starts.
    fn descriptor(&self) -> Option<i32> {
        self.end.borrow().as_ref().map(|end| end.signal.raw())
    }

    /// The end of a command: `[exit status, error, what it did]`. The last is JSON. Without an error, or if the command
    /// did not do all of its work, that part is nil.
    fn outcome(&self) -> Option<Told> {
        let end = self.end.borrow();
        let outcome = end.as_ref()?.outcome.get()?;
        let figures = outcome.figures.as_ref();
        // Fails only for maps whose keys are not text.
        let figures = figures.map(|figures| serde_json::to_string(figures).unwrap_or_default());
        let why = outcome.why.as_ref().map(visible::lines);
        Some((outcome.code.into(), why, figures))
    }

    /// Asks the command and its worker to end. Does not wait until they have. In a forked child, it does nothing: the
    /// parent's command goes on.
    fn abort(&self) {
        if self.is_own() {
            self.abort.borrow().iter().for_each(|abort| abort.ask());
        }
    }

    /// The descriptor of the caller's end of the pipe that stands for the standard stream with this number. Nil if that
    /// stream is not a pipe, if the caller's end is closed, and in a forked child.
    fn pipe(&self, number: usize) -> Option<i32> {
        let pipes = self.pipes.borrow();
        let pipe = pipes.get(number)?.as_ref().filter(|_| self.is_own())?;
        Some(pipe.as_fd().as_raw_fd())
    }

    /// Closes the caller's end of that pipe.
    fn close_pipe(&self, number: usize) {
        let pipe = self.pipes.borrow_mut().get_mut(number).and_then(Option::take);
        if !self.is_own() {
            // The fork handler has closed the child's copy. Another file may have its descriptor number by now.
            std::mem::forget(pipe);
        }
    }

    /// Closes the command's descriptors, except those of its pipes, which a thread may be using. A command that has not
    /// ended goes on.
    fn close(&self) {
        self.end.take();
        self.abort.take();
    }
}

/// The garbage collector frees a command when the fiber that waited for it has given it up. In a forked child, it frees
/// its copy of the parent's command, which goes on.
impl Drop for Command {
    fn drop(&mut self) {
        self.abort();
        (0..3).for_each(|number| self.close_pipe(number));
    }
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    native.define_singleton_method("run_command", function!(run_command, 4))?;
    native.define_singleton_method("offline_application", function!(offline_application, 4))?;
    let command = native.define_class("Command", ruby.class_object())?;
    command.undef_default_alloc_func();
    command.define_singleton_method("new", function!(Command::new, 0))?;
    command.define_method("start", method!(Command::start, 5))?;
    command.define_method("descriptor", method!(Command::descriptor, 0))?;
    command.define_method("outcome", method!(Command::outcome, 0))?;
    command.define_method("abort", method!(Command::abort, 0))?;
    command.define_method("pipe", method!(Command::pipe, 1))?;
    command.define_method("close_pipe", method!(Command::close_pipe, 1))?;
    command.define_method("close", method!(Command::close, 0))?;
    Ok(())
}
