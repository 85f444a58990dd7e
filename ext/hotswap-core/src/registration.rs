//! The databases that processes of an application have registered since it booted.
//!
//! A leader tells its workers what it had registered when it began to lead. What a process registers later, it
//! publishes itself. A worker adds what all processes of the same application have published, no matter which one
//! leads.

use std::os::unix::fs::MetadataExt;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::settings::{Database, Settings};
use crate::sys::publication::{self, Publication};

const NAME: &str = "hotswap-registered";

/// What a process publishes.
#[derive(Serialize, Deserialize)]
struct Published {
    /// See [`Settings::application`].
    application: u64,
    databases: Vec<Database>,
}

/// Publishes what this process has registered since it booted, until the value is dropped. `None` if there is nothing,
/// or the system provides no such file.
pub fn publish(settings: &Settings) -> Option<Publication> {
    let published = Published {
        application: settings.application(),
        databases: settings.databases.get(settings.at_boot?..)?.to_vec(),
    };
    if published.databases.is_empty() {
        return None;
    }
    let publication = Publication::new(NAME)?;
    publication.publish(&serde_json::to_vec(&published).unwrap_or_default());
    Some(publication)
}

impl Settings {
    /// A number for the application: its socket, and what it had registered when it booted. Environments share a
    /// socket, but not their databases.
    fn application(&self) -> u64 {
        let at_boot = self.at_boot.unwrap_or(self.databases.len());
        let paths: Vec<_> = self.databases.iter().take(at_boot).map(|one| &one.path).collect();
        xxh3_64(format!("{:?} {paths:?}", self.socket).as_bytes())
    }

    /// Adds what processes of the application have registered since it booted.
    pub(crate) fn with_registrations(mut self) -> Self {
        let application = self.application();
        let published = publication::all(NAME).filter(|(pid, _)| is_of_this_user(*pid));
        let contents: Vec<_> = published.flat_map(|(_, contents)| contents).collect();
        for content in contents {
            let published = serde_json::from_slice::<Published>(&content).ok();
            let published = published.filter(|published| published.application == application);
            for database in published.into_iter().flat_map(|published| published.databases) {
                if !self.databases.iter().any(|known| known.path == database.path) {
                    self.databases.push(database);
                }
            }
        }
        self
    }
}

/// Where there is no `/proc`, only publications of this user are found at all.
fn is_of_this_user(pid: u32) -> bool {
    let process = std::fs::metadata(format!("/proc/{pid}"));
    process.map_or(true, |process| process.uid() == geteuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn settings(socket: &Path, paths: &[&str], at_boot: usize) -> Settings {
        let database = |path: &&str| Database {
            path: path.into(),
            ..Database::default()
        };
        Settings {
            databases: paths.iter().map(database).collect(),
            at_boot: Some(at_boot),
            socket: socket.to_owned(),
            ..Settings::default()
        }
    }

    fn known(settings: Settings) -> Vec<String> {
        let all = settings.with_registrations().databases;
        all.iter().map(|one| one.path.display().to_string()).collect()
    }

    #[test]
    fn a_worker_adds_what_processes_of_its_application_have_registered() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path();
        let _member = publish(&settings(socket, &["/a", "/late"], 1)).unwrap();
        assert_eq!(known(settings(socket, &["/a"], 1)), ["/a", "/late"]);
        assert_eq!(known(settings(socket, &["/a", "/late"], 1)), ["/a", "/late"]);
    }

    #[test]
    fn another_environment_or_socket_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path();
        let _member = publish(&settings(socket, &["/a", "/late"], 1)).unwrap();
        assert_eq!(known(settings(socket, &["/test"], 1)), ["/test"]);
        assert_eq!(known(settings(Path::new("/elsewhere"), &["/a"], 1)), ["/a"]);
        assert!(publish(&settings(socket, &["/a"], 1)).is_none());
    }
}
