//! The rest of a snapshot, copied so that the database can be released before a slow reader has read it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::error::{Context, Gone, Result};
use crate::protocol::Connection;
use crate::worker::disk::space;
use crate::worker::snapshot::{Snapshot, CHUNK};

/// A copy in a file without a name. The file disappears with this process, no matter how the process ends.
pub(super) struct Spool {
    file: File,
    begin: u64,
    end: u64,
}

impl Spool {
    /// Copies the snapshot from `begin` on. The copy is next to the database: there it may share blocks with it, and
    /// elsewhere the file system may be in memory.
    pub(super) fn copy(
        snapshot: &Snapshot,
        begin: u64,
        database: &Path,
        client: &Connection,
    ) -> Result<Self> {
        let folder = database.parent().unwrap_or(Path::new("/"));
        let file = tempfile::tempfile_in(folder).on_path("cannot create a file in", folder)?;
        space::require(&file, snapshot.len() - begin, "a copy for a slow reader")?;
        let wanted = |_| match client.peer_is_gone() {
            true => Err(Gone::Client.into()),
            false => Ok(()),
        };
        if !snapshot.share_with(&file, wanted)? {
            snapshot.copy_to(&file, begin, wanted)?;
        }
        Ok(Self {
            file,
            begin,
            end: snapshot.len(),
        })
    }

    /// Passes the copy to `sink` in chunks.
    pub(super) fn stream(&self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
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
