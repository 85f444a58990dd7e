//! The application in whose process a command runs.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Refused, Result};
use crate::path::resolve;
use crate::protocol::{previous_of, Endpoint};
use crate::route::rollback_without_a_name;
use crate::server::Config;

/// An application, as the command sees it.
#[derive(Clone, Debug)]
pub struct Application {
    /// Its socket, whether or not a process serves it, its databases, and how to start a worker.
    pub config: Config,
    /// The resolved paths of the databases whose swap waits for the caller, because the caller is part of a request
    /// or a job.
    pub waited_for: Vec<PathBuf>,
    /// The resolved paths of the databases on which the caller has a transaction open.
    pub in_transaction: Vec<PathBuf>,
}

impl Application {
    /// How to do the work in this process, if no other process of the application serves `socket`.
    pub(super) fn here(&self, socket: &Path) -> Option<Config> {
        let can = !self.config.settings.databases.is_empty() && self.is_at(socket);
        can.then(|| self.config.clone())
    }

    /// What to call the databases that the sides of a copy name in another way than by the path of a file that exists.
    /// The process at `socket` may belong to another environment of this application, in which the same name means
    /// another database.
    pub(super) fn names(
        &self,
        socket: &Path,
        src: &Endpoint,
        dst: &Endpoint,
    ) -> Result<[Option<OsString>; 2]> {
        if !self.is_at(socket) {
            return Ok([None, None]);
        }
        if let Some(number) = rollback_without_a_name(src, dst) {
            let settings = self.config.settings.clone().expand(&[]);
            let path = settings.only()?.path.as_os_str();
            return Ok([Some(previous_of(number, path)), Some(path.to_owned())]);
        }
        let settings = self.config.settings.clone().expand(&[src, dst]);
        let (source, destination) = settings.sides(src, dst);
        Ok([(source, src), (destination, dst)].map(|(database, endpoint)| {
            let database = database.filter(|_| endpoint.identity.is_none())?;
            let path = database.path.as_os_str();
            Some(match endpoint.version() {
                Some((number, _)) => previous_of(number, path),
                None => path.to_owned(),
            })
        }))
    }

    fn is_at(&self, socket: &Path) -> bool {
        resolve(socket) == resolve(&self.config.socket)
    }

    /// Refuses a push through `socket` that would wait for the end of the request, job or transaction that itself waits
    /// for the push.
    pub(super) fn refuse_to_wait_for_itself(
        &self,
        socket: &Path,
        src: &Endpoint,
        dst: &Endpoint,
    ) -> Result<()> {
        if self.waited_for.is_empty() && self.in_transaction.is_empty() {
            return Ok(());
        }
        let settings = self.config.settings.clone().expand(&[src, dst]);
        // A name means a database of the server that is asked. A path leads to the same file no matter which server
        // it is.
        let sides = match self.is_at(socket) {
            true => settings.sides(src, dst),
            false => (settings.find_by_path(src), settings.find_by_path(dst)),
        };
        // The source of a rollback is a version of the same database.
        let sides = match src.version() {
            Some(_) => (None, sides.1),
            None => sides,
        };
        match sides {
            (None, Some(database)) if self.in_transaction.contains(&database.resolved()) => {
                Err(Refused::WaitsForTransaction {
                    database: database.label.clone(),
                }
                .into())
            }
            (None, Some(database)) if self.waited_for.contains(&database.resolved()) => {
                Err(Refused::WaitsForItself {
                    database: database.label.clone(),
                }
                .into())
            }
            _ => Ok(()),
        }
    }
}
