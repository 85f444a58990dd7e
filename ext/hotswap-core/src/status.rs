//! What `hotswap status` reports. docs/json.md documents it.

use serde::{Deserialize, Serialize};

use crate::record::Entry;

/// Up to so many databases of one pattern are shown one by one. Beyond that, they are summed up, and only a question
/// that names some of them looks into them.
pub(crate) const SUMMED_UP_BEYOND: usize = 10;

/// The state of an application's databases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// When the question was answered: RFC 3339, UTC.
    pub time: String,
    /// The version of hotswap.
    pub version: String,
    /// The pid of the process that serves the socket; absent if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<u32>,
    /// The managed databases.
    pub databases: Vec<DatabaseStatus>,
}

/// The state of one database. A field is absent if it is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DatabaseStatus {
    /// The path, as people write it.
    pub database: String,
    /// The name in database.yml.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The pattern that has found it, if the application has registered one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The absolute path, with every symlink resolved. Invalid characters are escaped.
    pub path: String,
    /// Whether there is a file.
    pub exists: bool,
    /// Why hotswap leaves the database alone, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objection: Option<String>,
    /// The length of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The length of the file of the WAL. Its content may be shorter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_bytes: Option<u64>,
    /// "wal" or "rollback".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_mode: Option<String>,
    /// The newest migration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_version: Option<String>,
    /// `PRAGMA user_version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_version: Option<i64>,
    /// The newest entry of a push or a rollback in the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_push: Option<Entry>,
    /// The processes that have to do with it.
    pub processes: Vec<ProcessStatus>,
    /// Whether a process in another container has it open.
    pub elsewhere: bool,
    /// The commands that run now.
    pub commands: Vec<CommandStatus>,
    /// The versions that were kept, the newest one first.
    pub previous: Vec<VersionStatus>,
}

/// A process that has to do with a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// The pid.
    pub pid: u32,
    /// What the process is for.
    pub role: Role,
    /// Its command line, if it is known.
    pub command: String,
    /// What it holds.
    pub holds: Vec<Holds>,
}

/// What a process is for, as far as its command line tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It serves requests.
    Web,
    /// It runs jobs.
    Job,
    /// A person types into it.
    Console,
    /// A worker of hotswap.
    Hotswap,
    /// Something else.
    Other,
}

impl std::fmt::Display for Role {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Role::Web => "web",
            Role::Job => "job",
            Role::Console => "console",
            Role::Hotswap => "hotswap",
            Role::Other => "other",
        })
    }
}

/// What a process holds of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// It takes part in swaps.
    Membership,
    /// It has the file open.
    File,
    /// It runs a push or a rollback.
    Operation,
    /// It has the database open without SQLite's locks, so no swap is possible.
    Objection,
}

/// A command that runs now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandStatus {
    /// "push", "pull" or "rollback"; absent if the worker is in another container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The pid of the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// What it does: "receiving", "checking", "waiting for requests", "swapping".
    pub phase: String,
    /// The part of the phase that is done, in the unit of `total`; absent if unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// When it began: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<String>,
    /// The client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The source of a push, as the user typed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// `--label`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// A version of a database that was kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// 1 for the newest one.
    pub number: u32,
    /// Its path. Invalid characters are escaped.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// When it was last changed: RFC 3339, UTC.
    pub modified: String,
    /// Whether it has only rows of some tables.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_rows: bool,
}
