//! The leader: the application process that holds the socket.
//!
//! It greets a client, starts a worker and hands both of the client's connections to it. It decides nothing
//! and keeps nothing: any process of the application may be the leader, and its death changes no outcome.
//! Which one it is, is a kernel lock (see [`leadership`](self::leadership)); the next in line is a thread that
//! waits for that lock.

mod accept;
mod leadership;
mod session;
mod spawn;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::{Context, Error, Result};
use crate::visible::Shown;
use crate::worker::Job;
use leadership::Leadership;
pub(crate) use leadership::{address_of, connect, last_leader, reachable, was_led};

/// What a leader needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the socket lies. Absolute.
    pub socket: PathBuf,
    /// Where the socket for status and errors lies. Absolute.
    pub stderr_socket: PathBuf,
    /// How a worker is started.
    pub worker: WorkerCommand,
    /// What a worker is told.
    pub job: Job,
}

/// How a worker is started: a program, its arguments, and what of our environment it must not see.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// Usually the Ruby that runs the application.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Names of environment variables, a trailing `*` standing for any ending.
    pub hidden: Vec<String>,
}

/// A candidate for leadership, and the leader once it is its turn.
pub struct Server {
    stopping: Arc<Stop>,
    ended: Receiver<()>,
}

#[derive(Default)]
struct Stop {
    asked: AtomicBool,
    leading: AtomicBool,
    notify: Notify,
}

impl Server {
    /// Starts the thread that waits for leadership and then serves. What keeps it from serving is logged, and
    /// the application goes on without it.
    pub fn start(config: Config) -> Result<Self> {
        let stopping = Arc::new(Stop::default());
        let (end, ended) = channel();
        std::thread::Builder::new()
            .name("hotswap-server".into())
            .spawn({
                let stopping = stopping.clone();
                move || {
                    crate::signal::leave_signals_to_others();
                    if let Err(error) = run(&config, &stopping) {
                        tracing::error!(target: "hotswap", "hotswap is not available: {error}");
                    }
                    // The receiver may be gone; then nobody waits.
                    let _ = end.send(());
                }
            })
            .context("cannot start the server thread")?;
        Ok(Self { stopping, ended })
    }

    /// Stops serving and removes the sockets, if this process was the leader. Commands under way go on.
    pub fn stop(self) {
        self.stopping.asked.store(true, Ordering::SeqCst);
        self.stopping.notify.notify_one();
        // A candidate that waits for the lock has no socket, and ends with the process.
        if self.stopping.leading.load(Ordering::SeqCst) {
            let _ = self.ended.recv_timeout(Duration::from_millis(500));
        }
    }
}

fn run(config: &Config, stop: &Arc<Stop>) -> Result<()> {
    let leadership = Leadership::wait(&config.socket)?;
    // Each of the two threads writes its own flag before it reads the other's.
    stop.leading.store(true, Ordering::SeqCst);
    if stop.asked.load(Ordering::SeqCst) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the server's runtime")?;
    let entered = runtime.enter();
    let doors = leadership.open_doors(&config.stderr_socket)?;
    drop(entered);
    let since = if leadership.taken_over {
        ", since the process that did has ended"
    } else {
        ""
    };
    tracing::info!(target: "hotswap", "process {} listens on {}{since}", std::process::id(), config.socket.shown());
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::select! {
            result = accept::serve(&doors, config) => result,
            () = stop.notify.notified() => Ok(()),
        }
    })
}

/// The reasons that keep a process from serving.
fn cannot_serve(text: String) -> Error {
    Error::CannotConnect(text)
}
