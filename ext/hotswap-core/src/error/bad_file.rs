//! Exit status 3, for a pushed file: it cannot be used, or it fails a check. The running database is untouched.

use super::words::in_words;
use crate::percent::Percent;

/// What is wrong with the pushed file. `name` is what the user calls it.
#[derive(Debug, thiserror::Error)]
pub enum BadFile {
    /// It has no bytes.
    #[error("the file is empty: {name} is 0 bytes long. The running database is untouched. {next}")]
    Empty { name: String, next: &'static str },
    /// It does not begin as a database does.
    #[error("file is not a database: {name} {looks}. The running database is untouched. {next}")]
    NotADatabase {
        name: String,
        /// "looks like gzip data".
        looks: String,
        next: &'static str,
    },
    /// A field of its header has an impossible value.
    #[error("file is not a database: {name} has an invalid {field} ({value}). The running database is untouched. Push an SQLite database")]
    Header {
        name: String,
        field: &'static str,
        value: u64,
    },
    /// Its last page is not complete.
    #[error(
        "the file is truncated: the {length} bytes of {name} are not a whole number of {page_size}-byte pages. \
         The running database is untouched. Make sure that the file is complete, and try again"
    )]
    PartialPage {
        name: String,
        length: u64,
        page_size: u64,
    },
    /// Pages are missing at its end.
    #[error(
        "the file is truncated: the header of {name} announces {announced} bytes, but it has {length}. \
         The running database is untouched. Make sure that the file is complete, and try again"
    )]
    Truncated {
        name: String,
        announced: u64,
        length: u64,
    },
    /// It goes on after its last page.
    #[error(
        "the file is longer than it says: the header of {name} announces {announced} bytes, but it goes on after them. \
         The running database is untouched. If a terminal lies in between, leave it out (no -t); otherwise push a copy \
         made with VACUUM INTO"
    )]
    TooLong { name: String, announced: u64 },
    /// It arrived with other bytes than were sent.
    #[error(
        "the data was damaged in transit: {sent} bytes with checksum {checksum:016x} were sent, {received} bytes with \
         {received_checksum:016x} arrived. Try again"
    )]
    DamagedOnTheWay {
        sent: u64,
        checksum: u64,
        received: u64,
        received_checksum: u64,
    },
    /// The file cannot be opened or read.
    #[error("cannot read {name}: {}", in_words(source))]
    Unreadable { name: String, source: std::io::Error },
    /// A -wal or -journal next to it is no file.
    #[error(
        "{name} is {kind}, and SQLite cannot open a database with such a file next to it. Remove it, or put the file itself \
         there, and try again"
    )]
    BadSidecar { name: String, kind: &'static str },
    /// It was written to while it was copied.
    #[error(
        "another program changed {name} while it was being copied. Stop that program, or push a snapshot \
         (sqlite3 SOURCE \".backup COPY\")"
    )]
    Changed { name: String },
    /// Another program is writing to it.
    #[error(
        "{name} is being written: {writer} has a transaction open on it. The running database is untouched. End the \
         transaction and try again"
    )]
    BeingWritten { name: String, writer: String },
    /// Its journal alone does not tell whether a transaction was committed.
    #[error(
        "the journal next to {name} belongs to a transaction over several databases, so it does not say whether that was \
         committed. The running database is untouched. Open {name} once with sqlite3, in the folder where it was \
         written, and try again"
    )]
    JournalOfSeveral { name: String },
    /// SQLite cannot merge its WAL or journal.
    #[error("the -wal or -journal next to {name} does not belong to it: {why}. The running database is untouched. Push a snapshot (sqlite3 SOURCE \".backup COPY\")")]
    BadLog { name: String, why: String },
    /// Its pages have checksums.
    #[error(
        "{name} has a checksum in every page (SQLite's extension cksumvfs), which hotswap cannot update. Nothing was changed. Make \
         a database without checksums: sqlite3 OLD .dump | sqlite3 NEW"
    )]
    Checksums { name: String },
    /// SQLite's integrity check found something.
    #[error(
        "integrity check failed:{found}{name} is damaged. The running database is untouched. Repair the file \
         (sqlite3 FILE .recover) or push another one"
    )]
    Damaged {
        name: String,
        /// The problems, with the space or line break around them.
        found: String,
    },
    /// The check ran out of memory.
    #[error(
        "integrity check failed: checking {name} takes more than {megabytes} MB of memory, or it contains a value that is too \
         long. The running database is untouched. Look for expensive expressions in its CHECK constraints and indexes"
    )]
    TooMuchMemory { name: String, megabytes: i64 },
    /// The work on it took too long.
    #[error(
        "gave up after {minutes} minutes of work on the file. The running database is untouched. Look for expensive \
         CHECK constraints, indexes and views in the file"
    )]
    TooMuchTime { minutes: u64 },
    /// It needs an extension that the application does not load.
    #[error(
        "{name} cannot be checked: {why}. The running database is untouched. Name the extension under `extensions:` in \
         database.yml, or pass --skip-integrity-check"
    )]
    NeedsExtension { name: String, why: String },
    /// Its schema is too long to be compared.
    #[error(
        "the schema of {name} is longer than {megabytes} MB. The running database is untouched. Look for tables or views with very \
         long statements"
    )]
    LongSchema { name: String, megabytes: i64 },
    /// SQLite cannot parse its schema.
    #[error(
        "the schema of {name} cannot be read: {why}. The application could not use it either. The running database is \
         untouched. Repair the file (sqlite3 FILE .recover) or push another one"
    )]
    BadSchema { name: String, why: String },
    /// Its schema differs from that of the live database.
    #[error("schema mismatch\n{statements}\n{names}\n{}", of_mismatch(name, database, *active_record, *not_utf8))]
    SchemaMismatch {
        /// The statements that differ, of both schemas.
        statements: String,
        /// The names of the objects that differ.
        names: String,
        name: String,
        database: String,
        /// Whether the application migrates its database.
        active_record: bool,
        /// Whether a text in its schema is not valid UTF-8.
        not_utf8: bool,
    },
    /// A table that `--only` or `--except` chooses has another schema in the live database.
    #[error(
        "schema mismatch\n{statements}\n{names}\n{database} is untouched. A push of some tables needs the same schema \
         for them in {name}. To change the schema, migrate first, or push the whole database"
    )]
    TableMismatch {
        /// The statements that differ, of both databases.
        statements: String,
        /// The names of what differs.
        names: String,
        name: String,
        database: String,
    },
    /// It should be the difference file of a push of some tables, and is not.
    #[error(
        "this version of hotswap cannot read the replaced rows in {name}. Nothing was changed. Push these tables from a backup, with --only"
    )]
    NoDifference { name: String },
    /// It has no rows, and the live database has some.
    #[error(
        "every table of {name} is empty, but {database} has rows in {table}. {database} is untouched. To empty it, \
         pass --skip-schema-check"
    )]
    NoRows {
        name: String,
        database: String,
        table: String,
    },
    /// It has too few rows.
    #[error(
        "{name} would remove more rows than max_shrink ({limit}) allows: {tables}. {database} is untouched. If you mean to \
         remove them, pass a larger --max-shrink"
    )]
    Shrunk {
        name: String,
        database: String,
        limit: Percent,
        /// "users 100 → 10 (-90%)".
        tables: String,
    },
    /// It stores text in another encoding, which cannot change in place.
    #[error(
        "the file stores text as {encoding}, the live database as {live}, and the encoding cannot change while another program \
         has the database open. Close it there, or push a file with {live}"
    )]
    OtherEncoding { encoding: &'static str, live: String },
    /// It has pages of another size, which cannot change in place.
    #[error(
        "the live database has pages of {page_size} bytes, and SQLite cannot rewrite the file with that size: {why}. Push a file \
         with pages of {page_size} bytes"
    )]
    OtherPageSize { page_size: u32, why: String },
    /// Another program has written to the copy that was checked.
    #[error("another program changed the staged file after it was checked. Nothing was swapped. Try again")]
    StagedChanged,
}

fn of_mismatch(name: &str, database: &str, active_record: bool, not_utf8: bool) -> String {
    let mut advice = format!("{database} is untouched. If you want the new schema, pass --skip-schema-check");
    if active_record {
        advice += ". If the file is an older backup, run bin/rails db:migrate afterwards";
    }
    if not_utf8 {
        advice += &format!(". The schema of {name} contains text that is not UTF-8");
    }
    advice
}
