//! The messages, in the order in which a session uses them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dry_run::{DryRun, TableChange};
use super::way::Way;
use super::{Header, Kind, Stamp};
use crate::content_id::ContentId;
use crate::error::{Protocol, Result};
use crate::in_place::InPlace;
use crate::percent::Percent;
use crate::selection::Selection;
use crate::settings::Settings;
use crate::sidecar::Sidecar;
use crate::sys::identity::Identity;
use crate::visible;

/// One message on the main or the stderr socket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Client: the protocol that it speaks.
    Hello {
        /// See [`PROTOCOL`](super::PROTOCOL).
        protocol: u32,
        /// The client's version, for the text of a rejection.
        version: String,
    },
    /// Leader: the client is welcome, and should join the stderr socket with this session.
    Welcome {
        /// See [`PROTOCOL`](super::PROTOCOL).
        protocol: u32,
        /// The server's version.
        version: String,
        /// The token that joins both sockets.
        session: String,
        /// The path of the stderr socket.
        #[serde(with = "crate::path")]
        stderr_socket: PathBuf,
    },
    /// Leader: the client is rejected.
    Rejected {
        /// The reason, for the user.
        why: String,
    },
    /// Client, on the stderr socket: the session that it belongs to.
    Join {
        /// From [`Message::Welcome`].
        session: String,
    },
    /// Client: the parsed command line.
    Request(Box<Request>),
    /// Client, instead of a request: a question. The answer is a body. The client may then ask again, or leave.
    Query(Box<Query>),
    /// Worker: how the data will travel.
    Plan(Plan),
    /// Worker, instead: its server manages neither side. Only if the client can do the work itself.
    Declined,
    /// Client: the source, as descriptors: the file, then its sidecars in this order.
    File {
        /// The length of the file when it was opened, in bytes.
        length: u64,
        /// The files next to it that belong to it.
        sidecars: Vec<Sidecar>,
        /// The state of all these files at one moment, in the order of the descriptors.
        #[serde(default)]
        stamps: Vec<Stamp>,
    },
    /// Client: the file to write the snapshot to, as a descriptor.
    Target,
    /// Worker, stderr socket: a line for the user.
    Status(String),
    /// Worker, stderr socket: the reason for a failure. Client, main socket: why it gives up.
    Error(String),
    /// Worker, stderr socket: its progress.
    Progress {
        /// "copying", "checking".
        stage: String,
        /// Bytes, or the unit of `total`.
        done: u64,
        /// 0 if unknown.
        total: u64,
    },
    /// Worker: the new database is in place, but not yet durable.
    Committed,
    /// Worker: the new database is in place and in use, and its probe begins.
    Probing,
    /// Worker, to client and leader: the end, and the exit status of the command.
    Done {
        /// See [`ExitCode`](crate::ExitCode).
        code: u8,
        /// What the command did, if it did all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        figures: Option<Figures>,
    },
    /// Worker to leader: the application should probe the new content of this database.
    Probe {
        /// The path of the database.
        #[serde(with = "crate::path")]
        database: PathBuf,
        /// How long that may take, in milliseconds.
        timeout_ms: u64,
    },
    /// Leader to worker: why the probe failed, or nothing.
    Probed(Option<String>),
    /// Leader to worker: a client, with both of its connections as descriptors.
    Handover(Box<Handover>),
    /// Leader to worker, instead: remove what dead workers left next to these databases.
    Sweep(Box<Settings>),
    /// Worker to leader: it has taken over the connections.
    Taken,
    /// Worker to leader: a line for the application's log.
    Log(Narration),
    /// Worker to leader: what a command did, as in the record, for the programs of the application that want to know.
    Event(serde_json::Value),
}

impl Message {
    /// The same message with its text shortened, for a peer that accepts at most `longest` bytes.
    pub fn shortened(&self, longest: usize) -> Result<Self> {
        // JSON may use six bytes for one byte of text.
        let cut = |text: &str| {
            let mut end = text.len().min(longest / 8);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}… ({} bytes in all)", &text[..end], text.len())
        };
        match self {
            Self::Status(text) => Ok(Self::Status(cut(text))),
            Self::Error(text) => Ok(Self::Error(cut(text))),
            Self::Log(line) => Ok(Self::Log(Narration {
                level: line.level.clone(),
                text: cut(&line.text),
            })),
            _ => Err(Protocol::LongMessage { longest }.into()),
        }
    }

    /// The whole frame of the message.
    pub fn to_frame(&self) -> Result<Vec<u8>> {
        let payload = serde_json::to_vec(self).map_err(|source| Protocol::Unsendable { source })?;
        let header = Header {
            kind: Kind::Message,
            length: payload.len(),
        };
        Ok([&header.to_bytes()[..], &payload].concat())
    }
}

/// `hotswap cp SRC DST`.
///
/// A worker refuses a request with an option that it does not know. If it ignored `--only`, it would replace the whole
/// database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The source.
    pub src: Endpoint,
    /// The destination.
    pub dst: Endpoint,
    /// `--skip-integrity-check`.
    pub skip_integrity_check: bool,
    /// `--skip-schema-check`.
    pub skip_schema_check: bool,
    /// `--in-place`; if absent, the application's setting applies.
    #[serde(default)]
    pub in_place: Option<InPlace>,
    /// `--timeout`, in milliseconds; if absent, the application's setting applies.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// `--max-pause`, in milliseconds; if absent, the application's setting applies.
    #[serde(default)]
    pub max_pause_ms: Option<u64>,
    /// `--probe`: a URL or a command that tells whether the application works with the new database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<String>,
    /// `--probe-timeout`, in milliseconds; if absent, the application's setting applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_timeout_ms: Option<u64>,
    /// The folder in which the user typed the command.
    #[serde(default, with = "crate::path")]
    pub folder: PathBuf,
    /// `--label`: what the user calls this command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Whether a pull reports the [identity](ContentId) of what it takes.
    #[serde(default)]
    pub identity: bool,
    /// `--if-match`: the identity that the live database must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_match: Option<ContentId>,
    /// `--if-changed`: whether a push leaves a live database alone that has the same content already.
    #[serde(default)]
    pub if_changed: bool,
    /// `--dry-run`: everything up to the swap, and a report.
    #[serde(default)]
    pub dry_run: bool,
    /// `--max-shrink`; if absent, the application's setting applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_shrink: Option<Percent>,
    /// `--only` or `--except`: the tables that the copy is about. If absent, the whole database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<Selection>,
    /// `--allow-orphans`: whether a push of some tables may leave rows that point nowhere.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_orphans: bool,
    /// `--redacted`: a pull that the application's rules apply to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redacted: bool,
    /// Whether the user named a folder as the destination. Such a copy has to be a pull.
    #[serde(default, skip_serializing_if = "is_false")]
    pub into_folder: bool,
    /// `--offline`: the user wants to know which processes take part.
    #[serde(default)]
    pub offline: bool,
    /// Whether the client can do the work itself, if the server manages neither side.
    #[serde(default)]
    pub may_decline: bool,
}

fn is_false(is: &bool) -> bool {
    !is
}

impl Request {
    /// The rollback of this push.
    pub fn undone(&self) -> Self {
        Self {
            src: Endpoint {
                raw: format!("{PREVIOUS}:{}", self.dst.raw),
                is_version: true,
                ..self.dst.clone()
            },
            skip_integrity_check: false,
            skip_schema_check: false,
            if_match: None,
            if_changed: false,
            max_shrink: None,
            tables: None,
            allow_orphans: false,
            probe: None,
            probe_timeout_ms: None,
            ..self.clone()
        }
    }

    /// The options that control the copy, as the user types them.
    pub fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        if self.skip_integrity_check {
            options.push("--skip-integrity-check".into());
        }
        if self.skip_schema_check {
            options.push("--skip-schema-check".into());
        }
        options.extend(self.in_place.map(|choice| format!("--in-place={choice}")));
        let seconds = |milliseconds: u64| milliseconds as f64 / 1e3;
        options.extend(self.timeout_ms.map(|time| format!("--timeout={}", seconds(time))));
        options.extend(
            self.max_pause_ms
                .map(|time| format!("--max-pause={}", seconds(time))),
        );
        options.extend(self.if_match.map(|identity| format!("--if-match={identity}")));
        options.extend(self.max_shrink.map(|limit| format!("--max-shrink={limit}")));
        options.extend(
            self.tables
                .as_ref()
                .map(|tables| visible::line(tables.to_string())),
        );
        if self.allow_orphans {
            options.push("--allow-orphans".into());
        }
        if self.redacted {
            options.push("--redacted".into());
        }
        if self.dry_run {
            options.push("--dry-run".into());
        }
        if self.if_changed {
            options.push("--if-changed".into());
        }
        options.extend(
            self.probe
                .as_ref()
                .map(|probe| format!("--probe={}", visible::line(probe))),
        );
        options.extend(
            self.probe_timeout_ms
                .map(|time| format!("--probe-timeout={}", seconds(time))),
        );
        options.extend(
            self.label
                .as_ref()
                .map(|label| format!("--label={}", visible::line(label))),
        );
        options
    }
}

impl std::fmt::Display for Request {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.src.version() {
            Some((1, name)) if name == self.dst.raw => {
                write!(out, "{}", format!("rollback {name}").trim_end())?;
            }
            _ => write!(out, "cp {} {}", self.src.raw, self.dst.raw)?,
        }
        self.options()
            .iter()
            .try_for_each(|option| write!(out, " {option}"))
    }
}

/// A question that changes nothing: `hotswap status` or `hotswap log`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// What the user wants to know.
    pub about: About,
    /// The database, or every one.
    #[serde(default)]
    pub database: Option<Endpoint>,
    /// How many entries of the record, the newest ones. If absent, all.
    #[serde(default)]
    pub newest: Option<usize>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The answer is a [`Status`](crate::status::Status), as JSON.
    Status,
    /// The answer is the lines of the record, as they are.
    Log,
}

/// One side of a copy, as the client's file system shows it. The worker decides whether it is a managed database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// As typed, with control characters escaped.
    pub raw: String,
    /// Whether this is standard input or output.
    pub stdio: bool,
    /// The absolute path, resolved against the caller's folder. For `previous:NAME`, that of NAME.
    #[serde(with = "crate::path")]
    pub absolute: PathBuf,
    /// With every symlink resolved, as far as the path exists.
    #[serde(with = "crate::path")]
    pub resolved: PathBuf,
    /// The identity of the file, if there is one.
    pub identity: Option<Identity>,
    /// Whether there is nothing at `absolute`. False for a link without a target, and in a folder that the user may
    /// not search.
    #[serde(default)]
    pub absent: bool,
    /// Whether this is a previous version of a database: there is no file called `raw`.
    #[serde(default)]
    pub is_version: bool,
}

/// What a user writes before the name of a database to name its previous version. A number names an older one:
/// `previous.2:primary`.
const PREVIOUS: &str = "previous";

/// The version that `raw` names, and the name of the database. 1 is the newest version.
pub fn version_of(raw: &str) -> Option<(u32, &str)> {
    let (version, name) = raw.strip_prefix(PREVIOUS)?.split_once(':')?;
    match version.strip_prefix('.') {
        None if version.is_empty() => Some((1, name)),
        None => None,
        Some(number) => {
            let parsed: u32 = number.parse().ok().filter(|parsed| *parsed > 0)?;
            (parsed.to_string() == number).then_some((parsed, name))
        }
    }
}

/// How a user names a version of the database that the user calls `name`.
pub fn previous_of(number: u32, name: &OsStr) -> OsString {
    let mut raw = OsString::from(match number {
        1 => format!("{PREVIOUS}:"),
        older => format!("{PREVIOUS}.{older}:"),
    });
    raw.push(name);
    raw
}

/// The name of standard input in messages.
pub const STANDARD_INPUT: &str = "standard input";

impl Endpoint {
    /// The paths that may lead to a managed database: from the caller's folder, and from the application's `root` if
    /// there is nothing.
    pub(crate) fn places(&self, root: &Path) -> Vec<PathBuf> {
        let below_root = self.absent && !root.as_os_str().is_empty();
        let below_root = below_root.then(|| root.join(self.database()));
        [&self.absolute, &self.resolved]
            .into_iter()
            .cloned()
            .chain(below_root)
            .collect()
    }

    /// The previous version that this is, and the name of its database. A file of that name comes first.
    pub fn version(&self) -> Option<(u32, &str)> {
        version_of(&self.raw).filter(|_| self.is_version)
    }

    /// What the user calls the database.
    pub fn database(&self) -> &str {
        self.version().map_or(&*self.raw, |(_, name)| name)
    }

    /// The name of a source in messages.
    pub fn name(&self) -> &str {
        if self.stdio {
            STANDARD_INPUT
        } else {
            &self.raw
        }
    }
}

/// What the worker asks of the client once it has parsed the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plan {
    /// Push: hand over the source as a descriptor.
    SendFile,
    /// Push: stream standard input.
    SendStream,
    /// Pull: hand over the target as a descriptor.
    ReceiveFile,
    /// Pull: stream to standard output.
    ReceiveStream,
    /// Either: wait. The worker reads or writes the descriptor that came with the request.
    Wait,
}

/// What the receiver must have got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The length of the body, in bytes.
    pub length: u64,
    /// The 64-bit XXH3 checksum of all bytes.
    pub checksum: u64,
}

/// What a command did, as `--json` prints it. docs/json.md documents the fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// "push", "pull" or "rollback".
    pub command: String,
    /// The managed database, as people write it.
    pub database: String,
    /// The length of the database that it copied.
    pub bytes: u64,
    /// A push: how the new content reached the live database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// A push: the longest time for which it held requests, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_ms: Option<f64>,
    /// A pull: the identity of what it copied. A push with `--if-match` or `--if-changed`: that of the new content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ContentId>,
    /// A push with `--if-changed`: whether the live database had other content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<bool>,
    /// A push with `--only` or `--except`, or its rollback: what it did to the rows of each table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<BTreeMap<String, TableChange>>,
    /// A push with `--dry-run`: what it would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<Box<DryRun>>,
}

/// Leader to worker: everything that the worker needs for a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Handover {
    /// The application's databases and settings.
    pub settings: Settings,
    /// The pid of the leader, for messages.
    pub leader: u32,
}

/// A line for the application's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narration {
    /// "debug", "info", "warn" or "error".
    pub level: String,
    /// The line.
    pub text: String,
}
