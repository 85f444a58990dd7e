//! Writes rows of some tables, and leaves all other tables as they are.
//!
//! The worker compares the tables while the gates are open, and writes the difference into a file. A [`Watch`] shows
//! whether another process has written one of the tables before the worker has the write lock.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::backup::{not_committed, Written};
use super::estimate::Size;
use super::parameters::{Source, Tables};
use super::transaction::Transaction;
use super::watch::Watch;
use crate::error::{Busy, Context, Refused, Result};
use crate::previous::{self, Hidden};
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::schema::mismatch::printable;
use crate::worker::sqlite::foreign::{self, Foreign};
use crate::worker::sqlite::log_buffer::Durable;
use crate::worker::sqlite::vfs::Purpose;
use crate::worker::tables::{Counts, Difference, Direction, Fit, Orphans, Risk};

/// How long the worker waits with the gates open for a process that commits with a rollback journal.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rows to write, and what shows that they are not the right ones any more.
#[derive(Debug)]
pub(super) struct Rows {
    difference: Difference,
    /// The path of the difference.
    path: PathBuf,
    direction: Direction,
    watch: Watch,
    /// How long it took to find them.
    pub took: Duration,
    /// The file under its hidden name, from right before the commit on.
    hidden: Option<Hidden>,
    /// Where rows could point to nothing afterwards, unless that is allowed.
    risks: Vec<Risk>,
    /// Whether the difference becomes the previous version.
    keep: bool,
}

impl Rows {
    /// Finds the rows. `in_time` can stop it.
    pub(super) fn find(
        live: &Live,
        content: &Staged,
        source: Source<'_>,
        keep: bool,
        command: &Command,
        in_time: impl Fn() -> Result<()>,
    ) -> Result<Self> {
        // An attempt before this one has left none.
        live.connection()
            .busy_timeout(PATIENCE)
            .on_path("cannot set up a connection to", live.path())?;
        match source {
            Source::Tables(tables) => Self::of_file(live, content, tables, keep, command, in_time),
            Source::Version { path, known } => Self::of_version(live, path, known, command),
            Source::File => unreachable!("a whole file is written as pages"),
        }
    }

    /// The rows that make the live tables like those of the pushed file.
    fn of_file(
        live: &Live,
        content: &Staged,
        tables: Tables<'_>,
        keep: bool,
        command: &Command,
        in_time: impl Fn() -> Result<()>,
    ) -> Result<Self> {
        let begun = Instant::now();
        let mut watch = Watch::begin(live, tables.chosen, command)?;
        let extensions = &command.database.extensions;
        let file = Foreign::open(content.path(), Purpose::Reading, extensions, command.client)?;
        let mut staged = Staged::create(live.path())?;
        if keep && !tables.in_sticky_folder {
            staged.copy_ownership_from(live.path())?;
        }
        let path = staged.path().to_owned();
        let found = Difference::find(watch.reader(), &file, tables.chosen, staged, |done, total| {
            command.client.progress("comparing", done, total);
            in_time()
        });
        let difference = found.map_err(|error| file.explain(error))?;
        watch.is_read();
        (tables.judge)(difference.counts())?;
        let mut rows = Self {
            difference,
            path,
            direction: Direction::Forward,
            watch,
            took: begun.elapsed(),
            hidden: None,
            risks: Vec::new(),
            keep,
        };
        rows.prepare(live, command)?;
        Ok(rows)
    }

    /// The rows of a difference that was kept.
    fn of_version(live: &Live, version: &Path, known: bool, command: &Command) -> Result<Self> {
        let begun = Instant::now();
        let difference = Difference::open(Staged::adopt(version)?)?;
        let mut watch = Watch::begin(live, difference.tables(), command)?;
        // Statements for a table with other columns could not be prepared.
        let fit = match difference.other_schema(live.connection())? {
            Some(table) => Ok(Fit::OtherSchema(table)),
            None => {
                difference.attach(live.connection())?;
                difference.enlarge_cache(live.connection())?;
                difference.direction(live.connection())
            }
        };
        watch.is_read();
        let direction = match fit? {
            // The worker that made it was killed before its commit.
            Fit::Applies(Direction::Forward) if !known => {
                return Err(Refused::NothingToUndo {
                    version: previous::path_of(&command.path, 1),
                }
                .into())
            }
            Fit::Applies(direction) => direction,
            Fit::OtherSchema(what) => {
                return Err(Refused::OtherTables {
                    database: command.database.label.clone(),
                    what,
                }
                .into())
            }
            Fit::Changed(tables) => {
                return Err(Refused::RowsChanged {
                    database: command.database.label.clone(),
                    tables,
                }
                .into())
            }
        };
        let rows = Self {
            difference,
            path: version.to_owned(),
            direction,
            watch,
            took: begun.elapsed(),
            hidden: None,
            risks: Vec::new(),
            keep: false,
        };
        // The rows were there before, so they come back.
        let risks = rows.difference.risks(live.connection(), direction)?;
        let orphans = orphans(&risks, live.connection())?;
        if !orphans.is_empty() {
            let warning = format!("rows point to nothing now: {}", orphans.join("; "));
            command.client.log("warn", &warning);
            command.client.status(format_args!("WARNING: {warning}"));
        }
        Ok(rows)
    }

    /// Does with the gates open what can be done then.
    fn prepare(&mut self, live: &Live, command: &Command) -> Result<()> {
        if self.difference.is_empty() {
            return Ok(());
        }
        if self.keep {
            // Nothing has to wait for the disk when the rows are committed.
            let synced = File::open(&self.path).and_then(|file| file.sync_all());
            synced.on_path("cannot sync", &self.path)?;
        }
        let connection = live.connection();
        self.difference.attach(connection)?;
        if live.is_wal() && connection.is_autocommit() {
            // Reads the rows that change. The comparison of a large table may have pushed their pages out of the page
            // cache, and requests would wait for the disk. SQLite also fills its cache: the first use of each page of
            // memory costs a page fault, and comes before requests wait.
            self.difference.enlarge_cache(connection)?;
            self.difference.direction(connection)?;
        }
        if !command.request.allow_orphans {
            self.risks = self.difference.risks(connection, self.direction)?;
        }
        self.require_no_orphans(connection)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.difference.is_empty()
    }

    /// What the command does to each table.
    pub(super) fn counts(&self) -> Vec<Counts> {
        let counts = self.difference.counts().iter().cloned();
        match self.direction {
            Direction::Forward => counts.collect(),
            Direction::Back => counts.map(turned).collect(),
        }
    }

    /// Each entry changes one page, and one page may have several of them.
    pub(super) fn size(&self, page_size: u32) -> Size {
        let cost = self.difference.cost();
        let pages = self
            .watch
            .pages()
            .map_or(cost.entries, |all| all.min(cost.entries));
        Size {
            bytes: cost.bytes + pages * u64::from(page_size),
            rows: self.difference.rows(),
            entries: cost.entries,
        }
    }

    /// Fails with [`Busy::Written`] if the tables may have other rows by now.
    pub(super) fn require_current(&self, live: &Live) -> Result<()> {
        match self.watch.is_outdated(live)? {
            true => Err(Busy::Written.into()),
            false => Ok(()),
        }
    }

    /// Writes the rows, as [`backup::write`](super::backup::write) writes pages.
    pub(super) fn write(
        &mut self,
        live: &Live,
        mut go_on: impl FnMut(f64) -> Result<()>,
        commit: impl FnOnce() -> Result<()>,
    ) -> Result<Written> {
        let connection = live.connection();
        let Some(mut transaction) = Transaction::begin(connection)? else {
            return Ok(Written::Locked);
        };
        if self.watch.is_outdated(live)? {
            return Ok(Written::Outdated);
        }
        go_on(0.0)?;
        // Rows of the other tables may have come since.
        self.require_no_orphans(connection)?;
        transaction.gather(Durable::Later);
        let written = self.difference.apply(connection, self.direction, go_on)?;
        commit()?;
        self.hide(live.path())?;
        match transaction.commit() {
            Ok(()) => Ok(Written::Rows(written)),
            Err(error) => {
                // If the disk has failed, the rows may be there, and then this is what undoes them.
                if error.sqlite_error_code() != Some(ErrorCode::SystemIoFailure) {
                    self.hidden.take().map(Hidden::discard);
                }
                Err(not_committed(error))
            }
        }
    }

    /// Gives the difference the name by which the next worker finds it if this one is killed right after the commit.
    fn hide(&mut self, live: &Path) -> Result<()> {
        if self.keep {
            match Hidden::cover(&self.path, live) {
                // A database with such a name has no versions.
                Err(error) if error.raw_os_error() == Some(libc::ENAMETOOLONG) => {}
                hidden => self.hidden = Some(hidden.on_path("cannot keep the previous version of", live)?),
            }
        }
        Ok(())
    }

    /// Makes the difference the newest version. Returns whether there is one to go back to.
    pub(super) fn settle(&mut self, live: &Path, command: &Command) -> Result<bool> {
        let Some(hidden) = self.hidden.take() else {
            return Ok(false);
        };
        let mark = previous::mark_of(hidden.path()).on_path("cannot stat", hidden.path())?;
        hidden.settle().on_path("cannot rename", live)?;
        let folder = live.parent().unwrap_or(Path::new("/"));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.on_path("cannot sync the folder of", live)?;
        command.client.account.note(|entry| entry.previous = Some(mark));
        Ok(true)
    }

    /// Prepares a connection for [`are_written`](Self::are_written).
    pub(super) fn attach_to(&self, reader: &Connection, command: &Command) -> Result<()> {
        foreign::load_extensions(reader, &command.database.extensions)?;
        self.difference.attach(reader)
    }

    /// Whether the state that `reader` holds has the rows.
    pub(super) fn are_written(&self, reader: &Connection) -> Result<bool> {
        let opposite = match self.direction {
            Direction::Forward => Direction::Back,
            Direction::Back => Direction::Forward,
        };
        Ok(self.difference.direction(reader)? == Fit::Applies(opposite))
    }

    /// Makes the live connection free for another difference.
    pub(super) fn detach(&mut self, live: &Live) {
        self.watch.let_go();
        // A connection that has nothing attached says so. The next attachment would fail.
        let _ = self.difference.detach(live.connection());
    }

    fn require_no_orphans(&self, connection: &Connection) -> Result<()> {
        let orphans = orphans(&self.risks, connection)?;
        match orphans.is_empty() {
            true => Ok(()),
            false => Err(Refused::Orphans { orphans }.into()),
        }
    }
}

/// The rows that would point to nothing, in words.
fn orphans(risks: &[Risk], connection: &Connection) -> Result<Vec<String>> {
    let mut orphans = Vec::new();
    for risk in risks {
        orphans.extend(risk.orphans(connection)?.iter().map(in_words));
    }
    Ok(orphans)
}

fn turned(counts: Counts) -> Counts {
    Counts {
        added: counts.removed,
        removed: counts.added,
        ..counts
    }
}

/// "comments (article_id) → articles: 12 rows, such as id 17 (article_id 4)"
fn in_words(orphans: &Orphans) -> String {
    let Orphans {
        table,
        columns,
        parent,
        count,
        examples,
    } = orphans;
    let rows = if *count == 1 { "row" } else { "rows" };
    format!(
        "{} ({}) → {}: {count} {rows}: {}",
        printable(table.as_bytes()),
        columns.join(", "),
        printable(parent.as_bytes()),
        examples.join(", ")
    )
}
