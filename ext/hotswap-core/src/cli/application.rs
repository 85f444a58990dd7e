//! The application in whose own process a command runs.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::protocol::Endpoint;
use crate::worker::{resolve, Job};

/// See the module.
#[derive(Debug)]
pub struct Application {
    /// Where it is served, or would be.
    pub socket: PathBuf,
    /// Set where the caller is a part of a request or a job.
    pub unit: Option<Unit>,
}

/// What a swap would wait for: a unit of work of a process that has databases open.
#[derive(Debug)]
pub struct Unit {
    /// The application's databases.
    pub job: Job,
    /// Those whose swap waits for this process: their resolved paths.
    pub joined: Vec<PathBuf>,
}

impl Application {
    /// Refuses a push by `socket` that would wait for the end of the request or job which waits for the push.
    pub(super) fn refuse_to_wait_for_itself(
        &self,
        socket: &Path,
        src: &Endpoint,
        dst: &Endpoint,
    ) -> Result<()> {
        let Some(unit) = &self.unit else {
            return Ok(());
        };
        // Names are those of the server that is asked. A path leads to the same file, whoever serves it.
        let is_ours = resolve(socket) == resolve(&self.socket);
        let sides = match is_ours {
            true => unit.job.sides(src, dst),
            false => (unit.job.find_by_path(src), unit.job.find_by_path(dst)),
        };
        match sides {
            (None, Some(database)) if unit.joined.contains(&database.resolved()) => {
                Err(Error::Refused(format!(
                    "this request or job would wait for its own push: {} is replaced when requests and jobs that run now \
                     have ended. Push from a process that goes on after it: \
                     Process.detach(spawn(\"bin/hotswap\", \"cp\", SRC, DST))",
                    database.label
                )))
            }
            _ => Ok(()),
        }
    }
}
