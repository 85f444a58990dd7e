//! The rest of a snapshot, copied so that the database can be let go before a slow reader has read it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::snapshot::{Snapshot, CHUNK};
use super::space;
use crate::error::{Context, Error, Result};
use crate::protocol::Connection;

/// See the module. The file has no name: it is gone with this process, however that ends.
pub struct Rest {
    file: File,
    begin: u64,
    end: u64,
}

impl Rest {
    /// Copies what of the snapshot begins at `begin`. It lies beside the database: there it may share its blocks,
    /// and elsewhere may be memory.
    pub fn copy(snapshot: &Snapshot, begin: u64, database: &Path, client: &Connection) -> Result<Self> {
        let folder = database.parent().unwrap_or(Path::new("/"));
        let file = tempfile::tempfile_in(folder).on_path("cannot create a file in", folder)?;
        space::require(&file, snapshot.len() - begin, "a copy for a slow reader")?;
        snapshot.copy_to(&file, begin, |_| match client.peer_is_gone() {
            true => Err(Error::Gone("the client went away".into())),
            false => Ok(()),
        })?;
        Ok(Self {
            file,
            begin,
            end: snapshot.len(),
        })
    }

    /// Hands it to `sink` in chunks.
    pub fn stream(&self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut at = self.begin;
        while at < self.end {
            let length = (CHUNK as u64).min(self.end - at) as usize;
            self.file
                .read_exact_at(&mut chunk[..length], at)
                .context("cannot read the copy for a slow reader")?;
            sink(&chunk[..length])?;
            at += length as u64;
        }
        Ok(())
    }
}
