//! A connection to a file that somebody else made: a staged file, until it takes the place of the live one.
//!
//! Opening one is the only way to such a file. What the connection may do is settled before the first statement that reads
//! it: SQLite sees nothing beside the file, takes a limited amount of memory, loads what the application loads and nothing
//! after that, and does not trust the schema. From then on [attention](super::attention) is paid to the time and to the client.

use std::ffi::{c_int, CStr, CString};
use std::ops::Deref;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{ffi, Connection};

use super::attention::Attention;
use super::caller::Caller;
use super::memory_limit::MemoryLimit;
use super::vfs::{self, Purpose};
use crate::error::{Context, Error, Result};
use crate::visible;

/// See the module. Fields are dropped in order: the end of the connection is watched as well.
#[derive(Debug)]
pub struct Foreign {
    connection: Connection,
    attention: Attention,
    _memory: MemoryLimit,
}

impl Foreign {
    /// Opens the file at `path`, with the application's `extensions`, for as long as `caller` waits for it.
    pub fn open(path: &Path, purpose: Purpose, extensions: &[String], caller: &Caller) -> Result<Self> {
        let connection = vfs::open(path, purpose)?;
        let attention = Attention::pay(&connection, caller, Some(path))?;
        let memory = MemoryLimit::set(&connection).on_path("cannot limit the memory for", path)?;
        let foreign = Self {
            connection,
            attention,
            _memory: memory,
        };
        foreign
            .confine(path, extensions)
            .map_err(|error| foreign.explain(error))?;
        Ok(foreign)
    }

    /// What `error`, of a statement of this connection, really was: where attention has ended the statement, why.
    pub fn explain(&self, error: Error) -> Error {
        self.attention.explain(error)
    }

    fn confine(&self, path: &Path, extensions: &[String]) -> Result<()> {
        for (config, on) in [
            (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
            (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        ] {
            self.set(config, on, path)?;
        }
        load_extensions(self, extensions)?;
        if !extensions.is_empty() && needs_trust(self) {
            self.set(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, true, path)?;
        }
        Ok(())
    }

    fn set(&self, config: DbConfig, on: bool, path: &Path) -> Result<()> {
        let set = self.connection.set_db_config(config, on);
        set.map(drop).on_path("cannot set up a connection to", path)
    }
}

impl Deref for Foreign {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Whether its schema cannot even be read without using a function of an extension that does not call itself
/// innocuous, which few do: the application's connections trust schemas, unless it says otherwise.
fn needs_trust(connection: &Connection) -> bool {
    let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    read.is_err_and(|error| error.to_string().contains("unsafe use of "))
}

/// Loads what the application's own connections load, so that its functions and modules are known.
pub fn load_extensions(connection: &Connection, extensions: &[String]) -> Result<()> {
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
                    let why = visible::line(CStr::from_ptr(message).to_bytes());
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
    let unchanged = std::ptr::null_mut::<c_int>();
    // SAFETY: the handle lives as long as `connection`; this configuration takes an int and an int pointer.
    let code = unsafe {
        ffi::sqlite3_db_config(
            connection.handle(),
            ffi::SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
            c_int::from(allowed),
            unchanged,
        )
    };
    match code {
        ffi::SQLITE_OK => Ok(()),
        _ => Err(Error::Refused("this SQLite loads no extensions".into())),
    }
}
