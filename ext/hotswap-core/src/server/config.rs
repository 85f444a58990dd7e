//! The configuration of a leader.

use std::ffi::OsString;
use std::path::PathBuf;

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
    /// The databases and settings that a worker gets.
    pub settings: Settings,
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
