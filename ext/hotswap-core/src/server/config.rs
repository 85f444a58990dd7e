//! The configuration of a leader.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::settings::Settings;

/// The configuration of a leader.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path of the socket; absolute.
    pub socket: PathBuf,
    /// The path of the socket for status lines and errors; absolute.
    pub stderr_socket: PathBuf,
    /// How to start a worker.
    pub worker: WorkerCommand,
    /// Probes the new content of a database in the application, within a time. Returns why it failed.
    pub probe: ProbeBlock,
    /// The databases and settings that a worker gets.
    pub settings: Settings,
}

/// Returns why the probe of a database failed, if it did.
type ProbeOf = dyn Fn(&Path, Duration) -> Option<String> + Send + Sync;

/// The application's probe.
#[derive(Clone)]
pub struct ProbeBlock(pub Arc<ProbeOf>);

impl std::fmt::Debug for ProbeBlock {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ProbeBlock")
    }
}

/// How to start a worker: the program, its arguments, and the environment variables that are hidden from it.
#[derive(Clone, Debug)]
pub struct WorkerCommand {
    /// Usually the Ruby that runs the application.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Names of environment variables. A trailing `*` stands for any ending.
    pub hidden: Vec<String>,
    /// Whether it gets its own process group.
    pub own_group: bool,
}
