//! A folder with a live database, for the tests of its versions.

use std::path::PathBuf;
use std::time::Duration;

use super::names::{numbers, path_of};
use super::versions::{mark_of, put_first};
use crate::record;

/// A database, whose content is only a word.
pub(super) struct Folder {
    pub folder: tempfile::TempDir,
    pub database: PathBuf,
}

impl Folder {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        std::fs::write(&database, "live").unwrap();
        Self { folder, database }
    }

    pub(super) fn keep(&self, content: &str) {
        std::fs::write(self.folder.path().join("from"), content).unwrap();
        put_first(&self.folder.path().join("from"), &self.database).unwrap();
    }

    pub(super) fn keep_in_record(&self) {
        let entry = record::Entry {
            previous: Some(mark_of(&path_of(&self.database, 1)).unwrap()),
            ..record::Entry::default()
        };
        record::append(&self.database, entry, Duration::from_secs(60)).unwrap();
    }

    pub(super) fn contents(&self) -> Vec<(u32, String)> {
        let read = |number| std::fs::read_to_string(path_of(&self.database, number)).unwrap();
        numbers(&self.database)
            .into_iter()
            .map(|number| (number, read(number)))
            .collect()
    }
}

pub(super) fn pairs(expected: &[(u32, &str)]) -> Vec<(u32, String)> {
    expected
        .iter()
        .map(|(number, content)| (*number, (*content).to_owned()))
        .collect()
}
