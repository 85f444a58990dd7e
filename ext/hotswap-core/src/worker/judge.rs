//! The checks on a staged file, made by the very SQLite that will serve it.
//!
//! The connection that looks at a stranger's file loads what the application loads and nothing after that,
//! trusts no schema that does without what was loaded, and works within limits of memory and time: a hostile file costs its own push.

use std::ffi::{CStr, CString};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{ffi, Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::accounts::without_views;
use super::schema::Schema;
use crate::error::{is_of_the_machine, Context, Error, Result};

/// The most memory that checking may take, in bytes.
const HEAP_LIMIT: i64 = 256 * 1024 * 1024;
/// How much of a file that is checked SQLite may map, in bytes. SQLite itself maps at most 2 GB, and reads the rest.
const MAPPED: i64 = 1 << 40;
/// How many problems are named.
const PROBLEMS: usize = 10;

/// Opens a file that nobody writes, for looking only.
pub fn open_for_judging(path: &Path, extensions: &[String]) -> Result<Connection> {
    // The file lies still, so no -wal or -shm need appear beside it.
    let uri = format!("file:{}?immutable=1", escape(path));
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags).on_sqlite("cannot open", path)?;
    confine(&connection, path, extensions)?;
    Ok(connection)
}

/// Opens a file to check it as the application will use it. Only a connection that may write knows of CHECK
/// constraints: to one that only reads, SQLite's check says nothing of the rows that break them.
///
/// SQLite reads the file where it lies in the page cache, which halves the time: the check looks up every row in every
/// index, in the order of the rows and not of the index. Truncating a mapped file would end this process with SIGBUS;
/// but only this process writes to a staged file, and no other knows its name. So would a disk that cannot read
/// what was written a moment ago: the push ends, and the live database is untouched.
pub fn open_for_checking(path: &Path, extensions: &[String]) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).on_sqlite("cannot open", path)?;
    confine(&connection, path, extensions)?;
    connection
        .query_row(&format!("PRAGMA mmap_size={MAPPED}"), [], |_| Ok(()))
        .optional()
        .on_sqlite("cannot map", path)?;
    Ok(connection)
}

/// Loads what the application loads, and lets nothing else in.
pub fn confine(connection: &Connection, path: &Path, extensions: &[String]) -> Result<()> {
    load_extensions(connection, extensions)?;
    for (config, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
    ] {
        connection
            .set_db_config(config, on)
            .on_sqlite("cannot set up a connection to", path)?;
    }
    connection
        .query_row(&format!("PRAGMA hard_heap_limit={HEAP_LIMIT}"), [], |_| Ok(()))
        .on_sqlite("cannot limit the memory for", path)?;
    if !extensions.is_empty() && needs_trust(connection) {
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, true)
            .on_sqlite("cannot set up a connection to", path)?;
    }
    Ok(())
}

/// Whether its schema cannot even be read without using a function of an extension that does not call itself
/// innocuous, which few do: the application's connections trust schemas, unless it says otherwise.
fn needs_trust(connection: &Connection) -> bool {
    let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    read.is_err_and(|error| error.to_string().contains("unsafe use of "))
}

trait OnSqlite<T> {
    fn on_sqlite(self, what: &str, path: &Path) -> Result<T>;
}

impl<T> OnSqlite<T> for rusqlite::Result<T> {
    fn on_sqlite(self, what: &str, path: &Path) -> Result<T> {
        self.context(format!("{what} {}", path.display()))
    }
}

/// A path as part of an SQLite URI.
fn escape(path: &Path) -> String {
    path.to_string_lossy()
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23")
}

/// Loads what the application's own connections load, so that its functions and modules are known.
fn load_extensions(connection: &Connection, extensions: &[String]) -> Result<()> {
    if extensions.is_empty() {
        return Ok(());
    }
    allow_loading(connection, true)?;
    for extension in extensions {
        let name = CString::new(extension.as_str())
            .map_err(|_| Error::Usage(format!("{extension:?} is no path")))?;
        let mut message = std::ptr::null_mut();
        // SAFETY: the handle lives as long as `connection`; the name is a C string; a message is ours to free.
        let loaded = unsafe {
            ffi::sqlite3_load_extension(connection.handle(), name.as_ptr(), std::ptr::null(), &mut message)
        };
        if loaded != ffi::SQLITE_OK {
            let why = if message.is_null() {
                String::new()
            } else {
                // SAFETY: a message that is not null is a C string, allocated by SQLite for us.
                unsafe {
                    let why = CStr::from_ptr(message).to_string_lossy().into_owned();
                    ffi::sqlite3_free(message.cast());
                    why
                }
            };
            return Err(Error::Refused(format!(
                "the extension {extension} of database.yml cannot be loaded: {why}"
            )));
        }
    }
    allow_loading(connection, false)
}

/// Through the C interface only: the SQL function stays forbidden, whatever a schema says.
fn allow_loading(connection: &Connection, allowed: bool) -> Result<()> {
    let unchanged = std::ptr::null_mut::<std::ffi::c_int>();
    // SAFETY: the handle lives as long as `connection`; this configuration takes an int and an int pointer.
    let code = unsafe {
        ffi::sqlite3_db_config(
            connection.handle(),
            ffi::SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
            std::ffi::c_int::from(allowed),
            unchanged,
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        _ => Err(Error::Refused("this SQLite loads no extensions".into())),
    }
}

/// `PRAGMA integrity_check`, all of it, of the file that its user calls `name`.
pub fn check_integrity(connection: &Connection, name: &str) -> Result<()> {
    let found = without_views(connection, || problems(connection));
    match found.and_then(|found| modules_are_known(connection).map(|()| found)) {
        Ok(found) if found.is_empty() => Ok(()),
        Ok(found) => Err(damaged(name, &format!("\n{}\n", found.join("\n")))),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
            Err(Error::Broken(format!(
                "the integrity check was given up: nobody waits for the answer about {name}, or it took too long"
            )))
        }
        Err(error) if is_of_the_machine(&error) => Err(error).context(format!("cannot check {name}")),
        Err(error) => Err(refusal(&error, name)),
    }
}

fn damaged(name: &str, found: &str) -> Error {
    Error::Refused(format!(
        "integrity check failed:{found}{name} is damaged. The running database is untouched; repair the file \
         (sqlite3 FILE .recover) or copy another one"
    ))
}

fn problems(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS})"))?;
    let rows: Vec<String> = check
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(rows.into_iter().filter(|row| row != "ok").collect())
}

/// The integrity check passes over a virtual table whose module is not there, and the application would stumble.
fn modules_are_known(connection: &Connection) -> rusqlite::Result<()> {
    let mut tables = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'create virtual table%'",
    )?;
    let names: Vec<String> = tables
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        let read = connection.prepare(&format!("SELECT 1 FROM \"{}\"", name.replace('"', "\"\"")));
        if let Err(error) = read {
            if error.to_string().contains("no such module") {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// What the check ran into: a damaged file, or one that needs what this server does not have.
fn refusal(error: &rusqlite::Error, name: &str) -> Error {
    let text = error.to_string();
    let missing = [
        "no such module",
        "no such function",
        "unknown function",
        "no such collation",
    ];
    if missing.iter().any(|sign| text.contains(sign)) {
        return Error::Refused(format!(
            "{name} cannot be checked: {text}; name the extension under `extensions:` in database.yml, \
             or pass --skip-integrity-check"
        ));
    }
    if error.sqlite_error_code() == Some(ErrorCode::OutOfMemory) {
        return Error::Refused(format!(
            "integrity check failed: checking {name} takes more than {} MB of memory, or a value of it is too long. \
             The running database is untouched; look for what is so big in its CHECK constraints and indexes",
            HEAP_LIMIT / 1024 / 1024
        ));
    }
    damaged(name, &format!(" {text}\n"))
}

/// What a file is refused with that no SQLite of this version can open, whatever the user skips.
pub fn unreadable(error: rusqlite::Error, name: &str) -> Error {
    if is_of_the_machine(&error) || error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return Error::Sqlite {
            what: format!("cannot read the schema of {name}"),
            source: error,
        };
    }
    Error::Refused(format!(
        "the schema of {name} cannot be read: {error}. The application could not use it either, and the running \
         database is untouched; repair the file (sqlite3 FILE .recover) or copy another one"
    ))
}

/// Refuses an incoming schema that differs from the live one, and shows both sides.
pub fn compare_schemas(live: &Schema, incoming: &Schema) -> Result<()> {
    let difference = live.difference(incoming);
    if difference.is_empty() {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "schema mismatch\n{}",
        difference.join("\n")
    )))
}
