//! A connection to a file from another source: a staged file, until it replaces the live one.
//!
//! [`Foreign::open`] is the only way to open such a file. It restricts the connection before the first statement that
//! reads the file: SQLite sees no other file next to it, takes a limited amount of memory, loads the application's
//! extensions and no others, and does not trust the schema. From then on a [deadline](crate::worker::deadline) watches
//! the time and the client.

use std::ffi::{c_int, CStr, CString};
use std::ops::Deref;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{ffi, Connection};

use super::memory_limit::MemoryLimit;
use super::vfs::{self, Purpose};
use crate::error::{Context, Error, Refused, Result};
use crate::visible;
use crate::worker::client::Client;
use crate::worker::deadline::Deadline;

/// A restricted connection. Fields are dropped in this order, so closing the connection is watched, too.
#[derive(Debug)]
pub(crate) struct Foreign {
    connection: Connection,
    deadline: Deadline,
    _memory: MemoryLimit,
}

impl Foreign {
    /// Opens the file at `path`, with the application's `extensions`, for as long as `client` waits for it.
    pub(crate) fn open(
        path: &Path,
        purpose: Purpose,
        extensions: &[String],
        client: &Client,
    ) -> Result<Self> {
        let connection = vfs::open(path, purpose)?;
        let deadline = Deadline::watch(&connection, client, Some(path))?;
        let memory = MemoryLimit::set(&connection).on_path("cannot limit the memory for", path)?;
        let foreign = Self {
            connection,
            deadline,
            _memory: memory,
        };
        foreign
            .confine(path, extensions)
            .map_err(|error| foreign.explain(error))?;
        Ok(foreign)
    }

    /// Replaces `error`, of a statement of this connection, by the reason if the deadline has ended the statement.
    pub(crate) fn explain(&self, error: Error) -> Error {
        self.deadline.explain(error)
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

/// Whether the schema cannot even be read without a function of an extension that is not marked as innocuous. Few
/// extensions mark their functions so, because connections trust schemas by default.
fn needs_trust(connection: &Connection) -> bool {
    let read = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    read.is_err_and(|error| error.to_string().contains("unsafe use of "))
}

/// Loads the extensions that the application's own connections load, for their functions and modules.
pub(crate) fn load_extensions(connection: &Connection, extensions: &[String]) -> Result<()> {
    if extensions.is_empty() {
        return Ok(());
    }
    allow_loading(connection, true)?;
    for extension in extensions {
        let name = CString::new(extension.as_str())
            .map_err(|_| bad_extension(extension, "its name contains a zero byte".into()))?;
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
            return Err(bad_extension(extension, why).into());
        }
    }
    allow_loading(connection, false)
}

fn bad_extension(extension: &str, why: String) -> Refused {
    Refused::BadExtension {
        extension: visible::line(extension),
        why,
    }
}

/// Allows loading through the C interface only. The SQL function stays forbidden, no matter what a schema says.
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
        _ => Err(Refused::NoExtensions.into()),
    }
}
