//! Exit status 3: hotswap has looked at the file, the database or the request, and refuses it. Nothing changed.

use std::path::PathBuf;
use std::time::Duration;

use super::bad_file::BadFile;
use super::unredactable::Unredactable;
use super::words::in_words;
use crate::visible::{self, Shown};

/// What is refused, and why.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The pushed file cannot be used.
    #[error(transparent)]
    File(#[from] BadFile),
    /// The copy cannot be made.
    #[error(transparent)]
    Copy(#[from] Unredactable),
    /// The application opens the database past SQLite's locks.
    #[error(
        "{database} is not managed: {objection}. Remove that from the database's name in the configuration, restart the \
         application and try again"
    )]
    NotManaged { database: String, objection: String },
    /// A process has opened the database past SQLite's locks.
    #[error(
        "{process} has opened {} with nolock, immutable or a vfs in its name, so SQLite's locks do not protect the database from it. \
         Remove that parameter, restart the process and try again",
        database.shown()
    )]
    PastTheLocks { database: PathBuf, process: String },
    /// A process holds a lock that it could use to hold up every push.
    #[error(
        "{process} holds a lock on {}, but its user (uid {uid}) may only read the database. End that process and try again. After a \
         restart it can no longer take the lock",
        lock_file.shown()
    )]
    ReaderHoldsLock {
        lock_file: PathBuf,
        process: String,
        uid: u32,
    },
    /// A process shares a lock that only workers take, and only exclusively.
    #[error(
        "{process} holds a lock on {} that only hotswap takes, so no push can begin. End that process and try again",
        lock_file.shown()
    )]
    StrangeLock { lock_file: PathBuf, process: String },
    /// The push comes from a request or job that the swap would wait for.
    #[error(
        "this request or job would wait for its own push: hotswap replaces {database} when the running requests and jobs \
         have ended. Push from a separate process: \
         Process.detach(spawn(\"bin/hotswap\", \"cp\", SRC, DST)). In bin/rails runner, pass --skip-executor or use a Rake task"
    )]
    WaitsForItself { database: String },
    /// The push comes from a thread that keeps the database from being closed.
    #[error(
        "this thread has a transaction open on {database}, and the push would wait for its end. Commit it or roll it back, then push"
    )]
    WaitsForTransaction { database: String },
    /// The live path leads to something else.
    #[error("the managed database {} is not a regular file. Put a database there, or remove it", database.shown())]
    LiveIsNoFile { database: PathBuf },
    /// The live file cannot be locked, because it can only be read.
    #[error(
        "cannot lock {}, because it can only be opened for reading. {}, and try again. A pull works without that",
        database.shown(),
        make_writable(*protected)
    )]
    LiveIsReadOnly {
        database: PathBuf,
        /// Whether its mode allows writing, and the folder's sticky bit does not.
        protected: bool,
    },
    /// The worker may not create files next to the live one.
    #[error(
        "{what}. A push writes two files next to the database: the new copy and the lock file (….hotswap). {}, and try again. \
         A pull works without that",
        make_room_beside(folder, lock_file.as_ref())
    )]
    NoPlaceBeside {
        /// The operation that failed, with the system's reason.
        what: String,
        folder: PathBuf,
        /// The lock file, if that alone cannot be written.
        lock_file: Option<PathBuf>,
    },
    /// The file cannot be replaced, and the user allows no other way.
    #[error("{} {obstacle}. {cure}, or leave out --in-place=never", database.shown())]
    Obstacle {
        database: PathBuf,
        obstacle: String,
        cure: &'static str,
    },
    /// Writing in place would hold requests up for too long.
    #[error(
        "the database {why}, so it would be written in place: {estimate}. That is longer than max_pause ({} s). Pass \
         --in-place=always or a longer --max-pause to let requests wait, or {way_out}",
        max_pause.as_secs_f64()
    )]
    SlowInPlace {
        /// Why the worker would write in place.
        why: String,
        /// "16.0 MB at 200 MB/s, about 0.10 s".
        estimate: String,
        max_pause: Duration,
        way_out: String,
    },
    /// SQLite cannot write into the live database.
    #[error(
        "the database {} {why}, so it would be written in place, but it is damaged: {reason}. To let hotswap replace the \
         file instead, {cure}",
        database.shown()
    )]
    LiveIsDamaged {
        database: PathBuf,
        why: String,
        reason: String,
        cure: String,
    },
    /// The schema of the live database cannot be read.
    #[error(
        "{reason}. hotswap cannot compare the pushed file with it. To replace the damaged database anyway, pass \
         --skip-schema-check"
    )]
    LiveSchemaIsDamaged { reason: String },
    /// The name of the live database cannot be given to SQLite.
    #[error(
        "the file has pages of another size than the live database, and SQLite cannot rewrite it next to {}, because that name \
         is not UTF-8. Push a file with pages of {page_size} bytes",
        database.shown()
    )]
    NameIsNotUtf8 { database: PathBuf, page_size: u32 },
    /// The disk is too full.
    #[error(
        "{what} needs {} MB plus a reserve of {} MB, but only {} MB are free. Make room on that disk and try again",
        needed.div_ceil(1_000_000),
        margin / 1_000_000,
        free / 1_000_000
    )]
    NoSpace {
        /// What the space is for.
        what: &'static str,
        /// In bytes, like the others.
        needed: u64,
        margin: u64,
        free: u64,
    },
    /// A slow reader makes the WAL grow, and the disk is too full.
    #[error(
        "pull stopped: the reader is slow, the application has written {} MB to the WAL meanwhile, and only {} MB are free. Make room \
         for a copy of the database on its disk, or pull to a file on another disk",
        written / 1_000_000,
        free / 1_000_000
    )]
    SlowReader {
        /// In bytes, like the other.
        written: u64,
        free: u64,
    },
    /// The target of a pull cannot be created.
    #[error("cannot write {name}: {} ({})", in_words(source), at.shown())]
    CannotWrite {
        name: String,
        /// The path that failed: the target or its folder.
        at: PathBuf,
        source: std::io::Error,
    },
    /// A table cannot be replaced while others stay.
    #[error("cannot push the table {table} without the whole database: {why}. Nothing was changed. Leave it out, or push the whole database")]
    TableAlone { table: String, why: String },
    /// There is nothing to go back to.
    #[error(
        "there is no previous version of {database}: {} does not exist. {}",
        version.shown(),
        go_back_to(others, database)
    )]
    NoVersion {
        database: String,
        version: PathBuf,
        /// The numbers of those that do exist.
        others: Vec<u32>,
    },
    /// A rollback in place would lose what it replaces.
    #[error(
        "cannot roll back {} in place, because what it replaces could not be kept: {why}. Make room on that disk and try again. \
         Or pull the database to another disk first, then pull its previous version and push that",
        database.shown()
    )]
    CannotKeep { database: PathBuf, why: String },
    /// A push with a probe could not go back.
    #[error(
        "a push with a probe needs the previous version of {}, and hotswap cannot keep it: {why}. Push without a probe, or make \
         room if the disk is full",
        database.shown()
    )]
    NoWayBack { database: PathBuf, why: String },
    /// Something else has the name of the version.
    #[error(
        "{} is not a regular file, so hotswap did not put it there. Remove it. If it is a link to the content that you want, push \
         that file",
        version.shown()
    )]
    VersionIsNoFile { version: PathBuf },
    /// A managed database has the name of the version.
    #[error(
        "hotswap keeps no versions of {}, because {} has the name of one and is a managed database itself. Rename that database",
        database.shown(),
        other.shown()
    )]
    VersionIsManaged { database: PathBuf, other: PathBuf },
    /// The version to go back to cannot be used.
    #[error(
        "cannot roll back {}: {why}. The running database is untouched. Repair that version (sqlite3 FILE .recover) and push \
         the result, or push a backup",
        database.shown()
    )]
    BadVersion { database: PathBuf, why: String },
    /// There are no tables to keep.
    #[error(
        "{database} does not exist, so it has no tables to keep. To create it, push the whole file: leave out --only and --except"
    )]
    NoTablesToKeep { database: String },
    /// Rows of the live database would point to nothing.
    #[error(
        "rows would point to nothing afterwards:\n- {}\nNothing was changed. Push a file that has the missing rows, remove the rows that \
         point to them, or pass --allow-orphans",
        orphans.join("\n- ")
    )]
    Orphans {
        /// For each foreign key: the tables, how many rows, and some of them.
        orphans: Vec<String>,
    },
    /// The version is a difference, and the rows that it is about are others now.
    #[error(
        "cannot roll back {database}: the application or another program changed rows that the last push wrote: {}. Nothing was changed. \
         Push a file that has the rows that you want, with --only",
        in_tables(tables)
    )]
    RowsChanged {
        database: String,
        /// Each table, and how many of its rows.
        tables: Vec<(String, u64)>,
    },
    /// The version is a difference, and the tables that it is about are others now.
    #[error("cannot roll back {database}: the last push wrote tables whose schema has changed since: {what}. Nothing was changed. Push a file that has the rows that you want, with --only")]
    OtherTables { database: String, what: String },
    /// The version is a difference, and the user does not allow to write into the file.
    #[error(
        "the last push to {database} wrote only some of its tables, so a rollback always writes into the file. Leave out --in-place=never"
    )]
    RowsInPlace { database: String },
    /// The version is a difference that was never written.
    #[error(
        "there is nothing to undo: {} is from a push that was killed before it changed a row. Remove that file",
        version.shown()
    )]
    NothingToUndo { version: PathBuf },
    /// The version is a difference, and not a database.
    #[error(
        "{} is not a whole database: it has only the rows that the last push with --only or --except replaced. hotswap rollback puts them \
         back. To get the whole database, pull {database}",
        version.shown()
    )]
    VersionIsDifference { version: PathBuf, database: String },
    /// An extension of the application cannot be loaded.
    #[error("cannot load the extension {extension} named in database.yml: {why}")]
    BadExtension { extension: String, why: String },
    /// SQLite was built without extensions.
    #[error("the application's SQLite cannot load extensions, but database.yml names some. Install the precompiled sqlite3 gem")]
    NoExtensions,
}

fn in_tables(tables: &[(String, u64)]) -> String {
    let tables = tables.iter().map(|(table, rows)| format!("{table} ({rows})"));
    tables.collect::<Vec<_>>().join(", ")
}

fn go_back_to(others: &[u32], database: &str) -> String {
    let name = |number: &u32| match number {
        1 => format!("previous:{database}"),
        _ => format!("previous.{number}:{database}"),
    };
    let Some(newest) = others.first().map(name) else {
        return "A push keeps one, unless config.hotswap.keep is 0. To restore older content, push a backup"
            .into();
    };
    let names = others.iter().map(name).collect::<Vec<_>>().join(", ");
    let [newest, database] = [&*newest, database].map(visible::word);
    format!("These exist: {names}. To go back to one: hotswap cp {newest} {database}")
}

fn make_writable(protected: bool) -> &'static str {
    match protected {
        true => {
            "Its mode allows writing, but its folder has the sticky bit, and the kernel protects other users' files there \
             (fs.protected_regular). Remove that bit, or run the application as the file's owner"
        }
        false => "Give the application write permission, or run it as the file's owner",
    }
}

fn make_room_beside(folder: &std::path::Path, lock_file: Option<&PathBuf>) -> String {
    match lock_file {
        Some(lock_file) => format!(
            "Give {} the owner and the mode of the database",
            lock_file.shown()
        ),
        None => format!("Make {} writable for the application", folder.shown()),
    }
}
