//! The application in whose process a command runs.

use std::path::{Path, PathBuf};

use crate::error::{Refused, Result};
use crate::path::resolve;
use crate::protocol::Endpoint;
use crate::settings::Settings;

/// An application, as the command sees it.
#[derive(Debug)]
pub struct Application {
    /// The application's socket, whether or not a process serves it.
    pub socket: PathBuf,
    /// Set if the caller is part of a request or a job.
    pub unit: Option<Unit>,
}

/// A unit of work that a swap would wait for, in a process that has databases open.
#[derive(Debug)]
pub struct Unit {
    /// The application's databases.
    pub settings: Settings,
    /// The resolved paths of the databases whose swap waits for this process.
    pub joined: Vec<PathBuf>,
}

impl Application {
    /// Refuses a push through `socket` that would wait for the end of the request or job that itself waits for the
    /// push.
    pub(super) fn refuse_to_wait_for_itself(
        &self,
        socket: &Path,
        src: &Endpoint,
        dst: &Endpoint,
    ) -> Result<()> {
        let Some(unit) = &self.unit else {
            return Ok(());
        };
        // A name means a database of the server that is asked. A path leads to the same file no matter which server
        // it is.
        let is_ours = resolve(socket) == resolve(&self.socket);
        let sides = match is_ours {
            true => unit.settings.sides(src, dst),
            false => (unit.settings.find_by_path(src), unit.settings.find_by_path(dst)),
        };
        match sides {
            (None, Some(database)) if unit.joined.contains(&database.resolved()) => {
                Err(Refused::WaitsForItself {
                    database: database.label.clone(),
                }
                .into())
            }
            _ => Ok(()),
        }
    }
}
