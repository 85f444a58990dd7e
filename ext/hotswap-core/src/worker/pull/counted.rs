//! How many rows each table of a pulled copy has. If a later push with `--if-match` is refused, its message can then
//! name the tables that have more or fewer rows.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::sys::descriptors::path_of;
use crate::worker::client::Client;
use crate::worker::push::row_counts::RowCounts;
use crate::worker::snapshot::Snapshot;
use crate::worker::sqlite::vfs;

/// Counts them in `copy`, the client's file, when the database is released: with a rollback journal, writers wait until
/// then.
pub(super) fn in_copy(copy: &File, client: &Client) {
    let Some(path) = path_of(copy) else {
        return;
    };
    // Standard output is often open for writing only.
    let Ok(file) = File::open(&path).or_else(|_| copy.try_clone()) else {
        return;
    };
    if let Some(connection) = vfs::read_descriptor(file.as_raw_fd()) {
        note(&RowCounts::count(&connection, &path), client);
    }
}

/// Counts them in the snapshot of the database at `source`, because a pipe keeps no copy. Only with a WAL: then no
/// writer waits.
pub(super) fn in_snapshot(snapshot: &Snapshot, source: &Path, client: &Client) {
    if snapshot.has_log() {
        note(&RowCounts::count(snapshot.connection(), source), client);
    }
}

fn note(rows: &RowCounts, client: &Client) {
    client.account.note(|entry| entry.rows = rows.counted());
}
