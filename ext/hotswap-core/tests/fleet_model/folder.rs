//! The folder of the database, and what a power cut may leave of it.

/// The folder of the database, in memory and on the disk.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(crate) struct Folder {
    /// The file that the live path leads to.
    pub file: u8,
    /// The file whose WAL is next to it.
    pub log: Option<u8>,
    /// Both as they were at the last fsync.
    pub synced: (u8, Option<u8>),
    /// The content of that file. Contents are numbered as they arrive: with a file, or in place.
    pub content: u8,
    /// The newest content that a power cut cannot undo.
    pub lasting: u8,
    /// A part of the file belongs to another content.
    pub mixed: bool,
    /// The database has a rollback journal instead of a WAL.
    pub rollback: bool,
    /// A part of the file belongs to another content, and the journal next to it undoes that.
    pub hot: bool,
    /// The disk may take longer than requests may wait.
    pub slow: bool,
    /// A power cut may have left the journal of one file next to another one.
    pub crossed: bool,
}

impl Folder {
    /// SQLite writes. It syncs the folder before the first row is in a new WAL, and before it changes a database
    /// whose journal is new. That journal itself is durable before.
    pub(crate) fn write(&mut self, syncs_first: bool) {
        self.crossed |= self.rollback && self.file != self.synced.0;
        if syncs_first && (self.rollback || self.log != Some(self.file)) {
            self.synced = (self.file, self.log);
        }
        if !self.rollback {
            self.log = Some(self.file);
        }
    }

    /// The first reader after a process died in a transaction plays the journal back.
    pub(crate) fn take_back(&mut self) {
        self.hot = false;
    }

    /// An operator puts another database there, with no other files next to it.
    pub(crate) fn replace_by_hand(&mut self) {
        self.file += 1;
        self.content += 1;
        (self.log, self.mixed, self.hot) = (None, false, false);
        self.sync();
    }

    /// Removes the WAL, the WAL index and the journal of the old file, before the new one arrives.
    pub(crate) fn remove_sidecars(&mut self) {
        self.log = None;
        self.mixed |= self.hot;
        self.hot = false;
    }

    pub(crate) fn sync(&mut self) {
        self.synced = (self.file, self.log);
        self.lasting = self.content;
    }

    /// The states that a power cut may leave: any part of the unsynced changes, in any order.
    pub(crate) fn after_power_cuts(&self) -> impl Iterator<Item = (u8, Option<u8>)> {
        let (file, log) = (self.file, self.log);
        let synced = self.synced;
        [synced, (file, synced.1), (synced.0, log), (file, log)].into_iter()
    }
}
