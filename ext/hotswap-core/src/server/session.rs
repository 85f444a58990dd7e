//! One session: starts a worker, and hands it the client's two connections.

use std::ffi::{CString, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::config::{Config, WorkerCommand};
use crate::error::{Context, Failed, Result};
use crate::exit_code::ExitCode;
use crate::protocol::{Connection, Handover, Message, Narration};
use crate::sys::fork::{self, CloseInChild};
use crate::sys::oom::OutOfMemory;
use crate::sys::spawn::Detached;

/// How long a worker may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a session to its end. If the worker does not start, tells the client. `hear` gets what the worker says to this
/// process.
pub(super) fn run(
    main: UnixStream,
    stderr: UnixStream,
    privates: [CloseInChild; 2],
    config: &Config,
    mut hear: impl FnMut(&Message),
) {
    let (main, stderr) = (Connection::new(main), Connection::new(stderr));
    let out_of_memory = OutOfMemory::so_far();
    match hand_over(&main, &stderr, config, &mut hear) {
        Ok(worker) => {
            drop(privates);
            drop((main, stderr));
            let process = worker.process;
            if !worker.narrate(config, &mut hear) {
                let killer = out_of_memory.suspect();
                hear(&error_line(format!(
                    "command failed: the worker (process {process}) was killed ({killer})"
                )));
            }
        }
        Err(error) => {
            let text = format!(
                "could not start a worker: {error}. See the application's log. If gems were removed since the \
                 application started, restart it"
            );
            hear(&error_line(text.clone()));
            // The client may have gone. The log has the error all the same.
            let _ = stderr.send(&Message::Error(text));
            drop(stderr);
            let _ = main.send(&Message::Done {
                code: ExitCode::Failed as u8,
                figures: None,
            });
        }
    }
}

/// Starts a worker that removes what dead workers left next to the databases, if there seems to be anything.
pub(super) fn sweep(config: &Config) {
    if !config.settings.suspects_leftovers() {
        return;
    }
    let swept = start(config).and_then(|worker| {
        let sweep = Message::Sweep(Box::new(config.settings.clone()));
        worker.connection.send(&sweep)?;
        worker.narrate(config, &mut log);
        Ok(())
    });
    if let Err(error) = swept {
        // The next push removes the files as well.
        tracing::warn!(target: "hotswap", "could not remove temporary files of an interrupted command: {error}");
    }
}

fn hand_over(
    main: &Connection,
    stderr: &Connection,
    config: &Config,
    hear: &mut impl FnMut(&Message),
) -> Result<Worker> {
    let mut worker = start(config)?;
    let connection = &mut worker.connection;
    connection
        .set_patience(Some(PATIENCE))
        .context("cannot set up a socket")?;
    let handover = Handover {
        settings: config.settings.clone(),
        leader: std::process::id(),
    };
    connection.send_with(
        &Message::Handover(Box::new(handover)),
        &[main.as_fd(), stderr.as_fd()],
    )?;
    loop {
        match connection.receive()? {
            Some(Message::Taken) => break,
            Some(line @ Message::Log(_)) => hear(&line),
            Some(_) | None => {
                return Err(Failed::EndedAtOnce {
                    program: config.worker.program.clone(),
                }
                .into())
            }
        }
    }
    connection.set_patience(None).context("cannot set up a socket")?;
    Ok(worker)
}

fn start(config: &Config) -> Result<Worker> {
    let (ours, theirs, private) = fork::without_fork(|| {
        UnixStream::pair().map(|(ours, theirs)| {
            let private = CloseInChild::keep(&theirs);
            (Connection::of_a_worker(ours), theirs, private)
        })
    })
    .context("cannot make a socket pair")?;
    let spawned = spawn(&config.worker, theirs.as_fd());
    drop(private);
    drop(theirs);
    Ok(Worker {
        process: spawned?,
        connection: ours,
    })
}

fn spawn(worker: &WorkerCommand, control: BorrowedFd<'_>) -> Result<Pid> {
    let visible = std::env::vars_os().filter(|(name, _)| !is_hidden(&name.to_string_lossy(), &worker.hidden));
    let environment = visible.filter_map(|(name, value)| {
        CString::new([name.as_bytes(), b"=", value.as_bytes()].concat()).ok() // Neither part can contain a zero byte.
    });
    let detached = Detached {
        program: worker.program.as_os_str(),
        arguments: worker.arguments.iter().map(OsString::as_os_str).collect(),
        environment: environment.collect(),
        stdin: control,
        own_group: worker.own_group,
    };
    detached.spawn().on_path("cannot start", &worker.program)
}

fn is_hidden(name: &str, patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    })
}

/// A worker, from the point of view of the process that started it.
struct Worker {
    connection: Connection,
    process: Pid,
}

impl Worker {
    /// Passes the worker's messages on until the worker ends. Returns whether its command came to an end.
    fn narrate(self, config: &Config, hear: &mut impl FnMut(&Message)) -> bool {
        let mut done = false;
        while let Ok(Some(message)) = self.connection.receive() {
            done |= matches!(message, Message::Done { .. });
            match message {
                Message::Probe { database, timeout_ms } => {
                    let answer = config.probe.0(&database, Duration::from_millis(timeout_ms));
                    // A worker that has gone does not need it.
                    let _ = self.connection.send(&Message::Probed(answer));
                }
                message => hear(&message),
            }
        }
        self.reap();
        done
    }

    /// Reaps the worker if this process is pid 1. The first process of a container inherits every orphan, including
    /// workers. A web server in that role leaves it a zombie or logs an unknown child. Any other process must not
    /// wait: a child of the application could have got the same pid.
    fn reap(&self) {
        if std::process::id() == 1 {
            let _ = waitpid(self.process, None);
        }
    }
}

fn error_line(text: String) -> Message {
    let level = "error".into();
    Message::Log(Narration { level, text })
}

/// Passes a worker's line on to the application's log.
pub(super) fn log(message: &Message) {
    if let Message::Event(event) = message {
        tracing::info!(target: "hotswap::event", "{event}");
    }
    let Message::Log(line) = message else { return };
    match line.level.as_str() {
        "error" => tracing::error!(target: "hotswap", "{}", line.text),
        "warn" => tracing::warn!(target: "hotswap", "{}", line.text),
        "debug" => tracing::debug!(target: "hotswap", "{}", line.text),
        _ => tracing::info!(target: "hotswap", "{}", line.text),
    }
}
