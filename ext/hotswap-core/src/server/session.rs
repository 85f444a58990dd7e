//! One session: a worker of its own, which gets the client's two connections.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Config, WorkerCommand};
use crate::error::{Context, Error, Result};
use crate::exit_code::ExitCode;
use crate::protocol::{Connection, Handover, Message, Narration};

/// How long a worker may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a session to its end. A worker that does not come up is reported to the client.
pub(super) fn run(main: UnixStream, stderr: UnixStream, config: &Config) {
    let (mut main, mut stderr) = (Connection::new(main), Connection::new(stderr));
    match hand_over(&main, &stderr, config) {
        Ok((worker, child)) => {
            drop((main, stderr));
            narrate(worker);
            reap(child);
        }
        Err(error) => {
            let text = format!("no worker process could be started on the server: {error}");
            tracing::error!(target: "hotswap", "{text}");
            // The client may have gone meanwhile; the log has it all the same.
            let _ = stderr.send(&Message::Error(text));
            drop(stderr);
            let _ = main.send(&Message::Done {
                code: ExitCode::Failed as u8,
            });
        }
    }
}

fn hand_over(main: &Connection, stderr: &Connection, config: &Config) -> Result<(Connection, Child)> {
    let (ours, theirs) = UnixStream::pair().context("cannot make a socket pair")?;
    let child = spawn(&config.worker, theirs.into())?;
    let mut worker = Connection::new(ours);
    worker
        .set_patience(Some(PATIENCE))
        .context("cannot set up a socket")?;
    let handover = Handover {
        job: config.job.clone(),
        leader: std::process::id(),
    };
    worker.send_with(
        &Message::Handover(Box::new(handover)),
        &[main.as_fd(), stderr.as_fd()],
    )?;
    loop {
        match worker.receive()? {
            Some(Message::Taken) => break,
            Some(Message::Log(line)) => log(&line),
            Some(_) | None => {
                return Err(Error::Broken(format!(
                    "{} ended at once",
                    config.worker.program.display()
                )))
            }
        }
    }
    worker.set_patience(None).context("cannot set up a socket")?;
    Ok((worker, child))
}

fn spawn(worker: &WorkerCommand, control: OwnedFd) -> Result<Child> {
    let mut command = Command::new(&worker.program);
    command
        .args(&worker.arguments)
        .stdin(Stdio::from(control))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let hidden = worker
            .hidden
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => text.starts_with(beginning),
                None => text == *pattern,
            });
        if hidden {
            command.env_remove(&name);
        }
    }
    command.spawn().on_path("cannot start", &worker.program)
}

/// Passes the worker's lines on to the application's log until it ends.
fn narrate(mut worker: Connection) {
    while let Ok(Some(message)) = worker.receive() {
        if let Message::Log(line) = message {
            log(&line);
        }
    }
}

fn log(line: &Narration) {
    match line.level.as_str() {
        "error" => tracing::error!(target: "hotswap", "{}", line.text),
        "warn" => tracing::warn!(target: "hotswap", "{}", line.text),
        "debug" => tracing::debug!(target: "hotswap", "{}", line.text),
        _ => tracing::info!(target: "hotswap", "{}", line.text),
    }
}

/// Nothing depends on how a worker ends: the connection has told. A server that waits for any child of its
/// own may have been quicker (ECHILD), and a worker on a hung disk may never end, so nobody waits for this.
fn reap(mut child: Child) {
    let waiting = std::thread::Builder::new()
        .name("hotswap-reaper".into())
        .spawn(move || child.wait());
    drop(waiting);
}
