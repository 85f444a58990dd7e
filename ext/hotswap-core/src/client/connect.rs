//! From the socket to the server's first answer. If no process listens at the socket, this process may start a worker
//! itself, and talks to it in the same way.
//!
//! The serving process may end at any time, for example when its web server replaces it on a busy machine. Until the
//! first answer the server has done nothing for this request, so the client asks the next leader instead.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};

use super::abort::{Abort, Watch};
use super::status::Listener;
use crate::error::{Context, Error, Failed, Gone, NoServer, Protocol, Result};
use crate::protocol::leader::last_leader;
use crate::protocol::leader::was_led;
use crate::protocol::{Connection, Message, Request, PROTOCOL};
use crate::server::{Config, Here, Session};
use crate::visible;

/// How long a server may take for its greeting. After that its worker may be busy for any length of time.
const GREETING: Duration = Duration::from_secs(10);
/// How long a socket may refuse connections while another process takes over from a dead leader.
const TAKEOVER: Duration = Duration::from_secs(1);
/// How long one leader may follow another before one of them answers.
pub(super) const SUCCESSION: Duration = Duration::from_secs(5);
/// The pause between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(50);

/// An opened session with a server that has answered.
pub(super) struct Opened {
    /// The main connection.
    pub main: Connection,
    /// Ends the main connection together with the command.
    pub watch: Watch,
    /// The thread that reads the other connection.
    pub listener: Listener,
    /// The server's answer.
    pub answer: Message,
    /// The session, if this process started the worker.
    pub session: Option<Session>,
}

/// The way to a worker.
pub(super) struct Way<'a> {
    /// The server's socket.
    pub socket: &'a Path,
    /// How this process starts a worker, if no process listens at the socket, or none that manages the database.
    pub here: Option<&'a Config>,
    /// Whether such a worker's lines must not go into this process's log.
    pub silent: bool,
}

/// Sends `request` and its descriptors to the process that leads at the socket, or to a worker of this process.
pub(super) fn open(
    way: &Way<'_>,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
    abort: &Arc<Abort>,
    listen: impl Fn(Connection) -> Result<Listener>,
) -> Result<Opened> {
    let give_up = Instant::now() + SUCCESSION;
    let mut request = request.clone();
    let mut begin: fn(&Way<'_>, &Arc<Abort>) -> Result<Begun> = begin;
    loop {
        match ask(begin(way, abort), &request, descriptors, abort, &listen) {
            // It belongs to another application, or to another environment of this one.
            Ok(Opened {
                answer: Message::Declined,
                mut listener,
                ..
            }) if request.may_decline => {
                listener.abandon();
                listener.finish();
                request.may_decline = false;
                begin = begin_here;
            }
            Err(error) if abort.asked() => return Err(error),
            Err(error) if error.is_gone() && Instant::now() < give_up => std::thread::sleep(PAUSE),
            Err(error) if error.is_gone() => return Err(not_hotswap(way.socket, &error)),
            answered => return answered,
        }
    }
}

fn ask(
    begun: Result<Begun>,
    request: &Request,
    descriptors: &[BorrowedFd<'_>],
    abort: &Arc<Abort>,
    listen: impl Fn(Connection) -> Result<Listener>,
) -> Result<Opened> {
    let (main, stderr, session) = begun?;
    let watch = watch(abort, &main, Shutdown::Write)?;
    let mut listener = listen(stderr)?;
    let asking = || {
        main.send_with(&Message::Request(Box::new(request.clone())), descriptors)?;
        Ok::<_, Error>(main.receive()?.ok_or(Gone::Connection)?)
    };
    match asking() {
        Ok(answer) => Ok(Opened {
            main,
            watch,
            listener,
            answer,
            session,
        }),
        Err(error) => {
            listener.abandon();
            listener.finish();
            Err(error)
        }
    }
}

pub(super) fn watch(abort: &Arc<Abort>, main: &Connection, how: Shutdown) -> Result<Watch> {
    abort.watch(main, how).context("cannot use the socket")
}

fn greet(socket: &Path, main: Connection, abort: &Arc<Abort>) -> Result<(Connection, Connection)> {
    // Ends both directions, because no work has begun yet that would be worth waiting for.
    let _watch = watch(abort, &main, Shutdown::Both)?;
    main.set_patience(Some(GREETING))
        .context("cannot set up the socket")?;
    let hello = Message::Hello {
        protocol: PROTOCOL,
        version: crate::VERSION.into(),
    };
    // A server that rejects the client does not wait for this greeting. Its answer arrives all the same.
    let _ = main.send(&hello);
    let answer = match main.receive() {
        Err(error @ Error::Failed(Failed::Protocol(_))) => return Err(not_hotswap(socket, &error)),
        received => received?.ok_or(Gone::Connection)?,
    };
    let (session, stderr_socket) = match answer {
        Message::Welcome {
            protocol: PROTOCOL,
            session,
            stderr_socket,
            ..
        } => (session, stderr_socket),
        Message::Welcome { version, .. } => {
            return Err(NoServer::OtherVersion {
                command: crate::VERSION.into(),
                application: version,
            }
            .into())
        }
        Message::Rejected { why } => return Err(NoServer::Rejected { why }.into()),
        _ => return Err(not_hotswap(socket, &Protocol::NoGreeting)),
    };
    let stderr = match Connection::to(&stderr_socket) {
        Err(_) if main.peer_is_gone() => return Err(Gone::Connection.into()),
        connected => connected.map_err(|error| unreachable(&stderr_socket, error))?,
    };
    stderr.send(&Message::Join { session })?;
    main.set_patience(None).context("cannot set up the socket")?;
    Ok((main, stderr))
}

fn not_hotswap(socket: &Path, why: &impl ToString) -> Error {
    NoServer::NotHotswap {
        socket: socket.to_owned(),
        why: why.to_string(),
    }
    .into()
}

/// Both connections of a session, and the session itself if this process started the worker.
pub(super) type Begun = (Connection, Connection, Option<Session>);

/// Starts a worker in this process.
fn begin_here(way: &Way<'_>, _: &Arc<Abort>) -> Result<Begun> {
    let config = way.here.ok_or(Gone::Connection)?;
    let here = Here::start(config.clone(), way.silent)?;
    Ok((here.main, here.stderr, Some(here.session)))
}

/// Opens both connections of a session.
pub(super) fn begin(way: &Way<'_>, abort: &Arc<Abort>) -> Result<Begun> {
    let give_up = Instant::now() + TAKEOVER;
    loop {
        let error = match Connection::to(way.socket) {
            Ok(main) => {
                let (main, stderr) = greet(way.socket, main, abort)?;
                return Ok((main, stderr, None));
            }
            Err(error) => error,
        };
        // Whether no process listens, and whether one may do so in a moment: one leader has removed its socket, and
        // the next is about to create its own.
        let (deserted, may_come) = match error.kind() {
            ErrorKind::ConnectionRefused => (true, true),
            ErrorKind::NotFound => (true, was_led(way.socket)),
            _ => (false, false),
        };
        if deserted && way.here.is_some() {
            return begin_here(way, abort);
        }
        if !may_come || abort.asked() || Instant::now() > give_up {
            return Err(unreachable(way.socket, error));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The owner of the socket, or of the nearest folder above it that this user can see.
fn owner(socket: &Path) -> Option<String> {
    let uid = socket
        .ancestors()
        .find_map(|path| path.symlink_metadata().ok())?
        .uid();
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    Some(user.map_or_else(
        || format!("the user with uid {uid}"),
        |user| visible::line(user.name),
    ))
}

fn unreachable(path: &Path, error: std::io::Error) -> Error {
    let socket = path.to_owned();
    let cause = match error.kind() {
        ErrorKind::NotFound => NoServer::NoSocket { socket },
        ErrorKind::ConnectionRefused => match last_leader(path) {
            Some(pid) => NoServer::Restarting { socket, pid },
            None => NoServer::Ended { socket },
        },
        ErrorKind::PermissionDenied => NoServer::NotAllowed {
            socket,
            owner: owner(path).unwrap_or_else(|| "another user".into()),
        },
        _ => NoServer::Unreachable {
            socket,
            source: error,
        },
    };
    cause.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Stdio;
    use crate::protocol::{Endpoint, Plan};
    use std::os::unix::net::UnixListener;

    fn request() -> Request {
        let endpoint = |raw: &str| Endpoint {
            raw: raw.into(),
            stdio: raw == "-",
            resolved: raw.into(),
            absolute: raw.into(),
            identity: None,
            absent: true,
            is_version: false,
        };
        Request {
            src: endpoint("-"),
            dst: endpoint("database"),
            skip_integrity_check: false,
            skip_schema_check: false,
            in_place: None,
            timeout_ms: None,
            max_pause_ms: None,
            identity: false,
            if_match: None,
            if_changed: false,
            max_shrink: None,
            tables: None,
            allow_orphans: false,
            redacted: false,
            into_folder: false,
            dry_run: false,
            probe: None,
            probe_timeout_ms: None,
            folder: "/".into(),
            label: None,
            offline: false,
            may_decline: false,
        }
    }

    fn listen(connection: Connection) -> Result<Listener> {
        let stderr = Stdio::from(std::fs::File::create("/dev/null").unwrap());
        Listener::start(connection, &stderr, true, None)
    }

    fn greeted(doors: &(UnixListener, UnixListener), stderr_socket: &Path) -> (Connection, Connection) {
        let main = Connection::new(doors.0.accept().unwrap().0);
        assert!(matches!(main.receive(), Ok(Some(Message::Hello { .. }))));
        main.send(&Message::Welcome {
            protocol: PROTOCOL,
            version: crate::VERSION.into(),
            session: "a session".into(),
            stderr_socket: stderr_socket.into(),
        })
        .unwrap();
        let stderr = Connection::new(doors.1.accept().unwrap().0);
        assert!(matches!(stderr.receive(), Ok(Some(Message::Join { .. }))));
        (main, stderr)
    }

    #[test]
    fn leaders_that_end_before_they_have_answered_are_followed_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, stderr) = (folder.path().join("socket"), folder.path().join("stderr"));
        let doors = (
            UnixListener::bind(&socket).unwrap(),
            UnixListener::bind(&stderr).unwrap(),
        );
        let leaders = std::thread::spawn(move || {
            drop(doors.0.accept().unwrap());
            drop(greeted(&doors, &stderr));
            let (main, _stderr) = greeted(&doors, &stderr);
            assert!(matches!(main.receive(), Ok(Some(Message::Request(_)))));
            main.send(&Message::Plan(Plan::SendStream)).unwrap();
        });
        let way = Way {
            socket: &socket,
            here: None,
            silent: false,
        };
        let opened = open(&way, &request(), &[], &Abort::new().unwrap(), listen).unwrap();
        assert!(matches!(opened.answer, Message::Plan(Plan::SendStream)));
        leaders.join().unwrap();
    }
}
