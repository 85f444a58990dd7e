//! Accepts connections: decides which clients may talk to the server and in which protocol, and which two
//! connections belong together.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::config::Config;
use super::leadership::Sockets;
use super::session;
use crate::error::{Context as _, NoServer, Protocol, Result};
use crate::protocol::{Header, Kind, Message, HEADER_LENGTH, PROTOCOL};
use crate::sys::fork::{self, CloseInChild};
use crate::sys::random;

/// How long a client may take for each step of the greeting.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many clients may be connected at once, including those whose commands are running.
const MOST_CLIENTS: usize = 64;

/// A client's connection, which a forked child must not keep.
struct Incoming {
    private: CloseInChild,
    stream: UnixStream,
}

impl Incoming {
    fn new(stream: UnixStream) -> Self {
        Self {
            private: CloseInChild::keep(&stream),
            stream,
        }
    }
}

#[derive(Default)]
struct Sessions {
    waiting: RefCell<HashMap<String, oneshot::Sender<Incoming>>>,
    clients: Rc<Cell<usize>>,
}

/// Serves clients until the future is dropped.
pub(super) async fn serve(sockets: &Sockets, config: &Config) -> Result<()> {
    let sessions = Rc::new(Sessions::default());
    sweep_in_background(config.clone())?;
    loop {
        tokio::select! {
            main = next_incoming(&sockets.main.listener) => match main {
                Ok(incoming) => greet_in_background(incoming, sessions.clone(), config.clone()),
                Err(error) => rest_after(error).await,
            },
            joining = next_incoming(&sockets.stderr.listener) => match joining {
                Ok(incoming) => join_in_background(incoming, sessions.clone()),
                Err(error) => rest_after(error).await,
            },
        }
    }
}

fn sweep_in_background(config: Config) -> Result<()> {
    let sweep = move || {
        crate::sys::thread::leave_signals_to_others();
        session::sweep(&config);
    };
    let thread = std::thread::Builder::new().name("hotswap-sweep".into());
    thread.spawn(sweep).context("cannot start a thread")?;
    Ok(())
}

async fn next_incoming(listener: &UnixListener) -> std::io::Result<Incoming> {
    let accept = |context: &mut Context<'_>| {
        fork::without_fork(|| {
            let accepted = listener.poll_accept(context);
            accepted.map_ok(|(stream, _)| Incoming::new(stream))
        })
    };
    std::future::poll_fn(accept).await
}

/// The process is probably out of descriptors. The listener stays readable, so without a pause the loop would spin.
async fn rest_after(error: std::io::Error) {
    tracing::warn!(target: "hotswap", "cannot accept a connection: {error}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

struct Slot(Rc<Cell<usize>>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

fn greet_in_background(incoming: Incoming, sessions: Rc<Sessions>, config: Config) {
    sessions.clients.set(sessions.clients.get() + 1);
    let slot = Slot(sessions.clients.clone());
    tokio::task::spawn_local(async move {
        if let Err(error) = greet(incoming, &sessions, config).await {
            tracing::debug!(target: "hotswap", "a client left: {error}");
        }
        drop(slot);
    });
}

async fn greet(incoming: Incoming, sessions: &Sessions, config: Config) -> Result<()> {
    let Incoming {
        private,
        stream: mut main,
    } = incoming;
    let greeted = match admit(&main, sessions) {
        Ok(()) => expect_hello(&mut main).await,
        refused => refused,
    };
    if let Err(why) = greeted {
        return send(&mut main, &Message::Rejected { why: why.to_string() }).await;
    }
    let session = format!("{:016x}{:016x}", random::number()?, random::number()?);
    let (joined, join) = oneshot::channel();
    sessions.waiting.borrow_mut().insert(session.clone(), joined);
    let welcome = Message::Welcome {
        protocol: PROTOCOL,
        version: crate::VERSION.into(),
        session: session.clone(),
        stderr_socket: config.stderr_socket.clone(),
    };
    let joined = match send(&mut main, &welcome).await {
        Ok(()) => timeout(PATIENCE, join).await,
        Err(error) => {
            sessions.waiting.borrow_mut().remove(&session);
            return Err(error);
        }
    };
    sessions.waiting.borrow_mut().remove(&session);
    let Ok(Ok(stderr)) = joined else {
        let why = NoServer::NoSecondConnection.to_string();
        return send(&mut main, &Message::Rejected { why }).await;
    };
    let privates = [private, stderr.private];
    let (main, stderr) = (blocking(main)?, blocking(stderr.stream)?);
    // The session has its own thread, which outlives a server that stops.
    let (end, ended) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("hotswap-session".into())
        .spawn(move || {
            crate::sys::thread::leave_signals_to_others();
            session::run(main, stderr, privates, &config, session::log);
            drop(end);
        })
        .context("cannot start a thread for the session")?;
    // The thread drops the sender when the session ends, which is the error here.
    let _ = ended.await;
    Ok(())
}

fn admit(stream: &UnixStream, sessions: &Sessions) -> Result<()> {
    let peer = stream.peer_cred().context("cannot identify the client")?;
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid() != own && peer.uid() != 0 {
        return Err(NoServer::OtherUser {
            server: own,
            client: peer.uid(),
        }
        .into());
    }
    if sessions.clients.get() > MOST_CLIENTS {
        return Err(NoServer::Full {
            clients: MOST_CLIENTS,
        }
        .into());
    }
    Ok(())
}

async fn expect_hello(stream: &mut UnixStream) -> Result<()> {
    match receive(stream).await? {
        Message::Hello { protocol, .. } if protocol == PROTOCOL => Ok(()),
        Message::Hello { version, .. } => Err(NoServer::OtherVersion {
            command: version,
            application: crate::VERSION.into(),
        }
        .into()),
        _ => Err(Protocol::NoGreeting.into()),
    }
}

fn join_in_background(mut incoming: Incoming, sessions: Rc<Sessions>) {
    tokio::task::spawn_local(async move {
        // The token admits a client. Without a known one the client gets no answer.
        if let Ok(Message::Join { session }) = receive(&mut incoming.stream).await {
            let waiting = sessions.waiting.borrow_mut().remove(&session);
            if let Some(waiting) = waiting {
                // The other half may have left at the same moment. Dropping this one tells the client.
                let _ = waiting.send(incoming);
            }
        }
    });
}

async fn receive(stream: &mut UnixStream) -> Result<Message> {
    let read = async {
        let mut bytes = [0; HEADER_LENGTH];
        stream
            .read_exact(&mut bytes)
            .await
            .context("the connection ended during the greeting")?;
        let header = Header::parse(bytes)?;
        if header.kind != Kind::Message || header.length > 4096 {
            return Err(Protocol::NoGreeting.into());
        }
        let mut payload = vec![0; header.length];
        stream
            .read_exact(&mut payload)
            .await
            .context("the connection ended during the greeting")?;
        serde_json::from_slice(&payload).map_err(|_| Protocol::NoGreeting.into())
    };
    timeout(PATIENCE, read)
        .await
        .map_err(|_| Protocol::SlowGreeting)?
}

async fn send(stream: &mut UnixStream, message: &Message) -> Result<()> {
    let payload = serde_json::to_vec(message).map_err(|source| Protocol::Unsendable { source })?;
    let header = Header {
        kind: Kind::Message,
        length: payload.len(),
    }
    .to_bytes();
    let write = async {
        stream.write_all(&header).await?;
        stream.write_all(&payload).await
    };
    timeout(PATIENCE, write)
        .await
        .map_err(|_| Protocol::Silent)?
        .context("cannot answer the client")
}

fn blocking(stream: UnixStream) -> Result<std::os::unix::net::UnixStream> {
    let stream = stream.into_std().context("cannot hand over a connection")?;
    stream
        .set_nonblocking(false)
        .context("cannot hand over a connection")?;
    Ok(stream)
}
