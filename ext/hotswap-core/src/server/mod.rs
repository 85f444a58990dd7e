//! The leader: the application process that holds the socket.
//!
//! It greets a client, starts a worker, and hands both of the client's connections to it. It decides nothing and
//! keeps nothing: any process of the application may be the leader, and its death changes no outcome. A kernel lock
//! determines which process leads (see [`leadership`](self::leadership)); a thread in the next candidate waits for
//! that lock.
//!
//! A program whose command finds no leader does what a leader does for this one command (see [`here`](self::here)).

mod accept;
mod config;
mod here;
mod leadership;
mod session;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::{Context, Result};
use crate::sys;
use crate::visible::Shown;

pub use config::{Config, ProbeBlock, WorkerCommand};
pub use here::{Here, Session};

use leadership::Leadership;

/// How long the end of a process may wait for its sockets to be removed. On an idle machine that takes no time.
const END: Duration = Duration::from_secs(3);

/// A candidate for leadership, and the leader once it gets the lock.
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
    /// Starts the thread that waits for leadership and then serves. If it cannot serve, it logs the reason, and the
    /// application goes on without it.
    pub fn start(config: Config) -> Result<Self> {
        let stopping = Arc::new(Stop::default());
        let (end, ended) = channel();
        std::thread::Builder::new()
            .name("hotswap-server".into())
            .spawn({
                let stopping = stopping.clone();
                move || {
                    crate::sys::thread::leave_signals_to_others();
                    if let Err(error) = run(&config, &stopping) {
                        tracing::error!(target: "hotswap", "hotswap is not available: {error}");
                    }
                    // The receiver may be gone. Then no thread waits.
                    let _ = end.send(());
                }
            })
            .context("cannot start the server thread")?;
        Ok(Self { stopping, ended })
    }

    /// Stops serving. Removes the sockets if this process was the leader. Running commands go on.
    pub fn stop(self) {
        self.stopping.asked.store(true, Ordering::SeqCst);
        self.stopping.notify.notify_one();
        // A candidate that waits for the lock has no socket, and its thread ends with the process.
        if self.stopping.leading.load(Ordering::SeqCst) {
            let _ = self.ended.recv_timeout(END);
        }
    }
}

fn run(config: &Config, stop: &Arc<Stop>) -> Result<()> {
    let leadership = Leadership::wait(&config.socket)?;
    // Each of the two threads writes its own flag before it reads the other's flag.
    stop.leading.store(true, Ordering::SeqCst);
    if stop.asked.load(Ordering::SeqCst) {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the server's runtime")?;
    let entered = runtime.enter();
    let sockets = leadership.listen(&config.stderr_socket)?;
    drop(entered);
    let since = if leadership.taken_over {
        ", since the process that did has ended"
    } else {
        ""
    };
    tracing::info!(target: "hotswap", "process {} listens on {}{since}", std::process::id(), config.socket.shown());
    tracing::info!(target: "hotswap", "backend: {}", sys::DESCRIPTION);
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        tokio::select! {
            result = accept::serve(&sockets, config) => result,
            () = stop.notify.notified() => Ok(()),
        }
    })
}
