//! Compares the schema of a pushed file with that of the live database.

use rusqlite::{Connection, ErrorCode};

use crate::error::{is_of_the_machine, BadFile, Error, Result};
use crate::visible;
use crate::worker::schema::Schema;

/// The maximum length of a schema's statements, in bytes. This module reads them and splits them into words in
/// memory that SQLite does not limit.
const SCHEMA: i64 = 4 * 1024 * 1024;

/// Refuses a schema that takes too much memory to compare. If the schema cannot be read, the other checks report it.
pub(super) fn require_reasonable(connection: &Connection, name: &str) -> Result<()> {
    let measure =
        "SELECT sum(length(CAST(type AS BLOB)) + length(CAST(name AS BLOB)) + length(CAST(sql AS BLOB)))
                   FROM sqlite_schema";
    let bytes = connection.query_row(measure, [], |row| row.get::<_, Option<i64>>(0));
    if !matches!(bytes, Ok(Some(bytes)) if bytes > SCHEMA) {
        return Ok(());
    }
    Err(BadFile::LongSchema {
        name: name.into(),
        megabytes: SCHEMA / 1024 / 1024,
    }
    .into())
}

/// The refusal of a file that no SQLite of this version can open. It applies no matter which checks the user skips.
pub(super) fn unreadable(error: rusqlite::Error, name: &str) -> Error {
    if is_of_the_machine(&error) || error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return Error::sqlite(format!("cannot read the schema of {name}"), error);
    }
    BadFile::BadSchema {
        name: name.into(),
        why: visible::line(error.to_string()),
    }
    .into()
}

/// Refuses an incoming schema that differs from the live one, and shows both. `name` is what the user calls the
/// file, and `label` is the live database.
pub(super) fn compare(live: &Schema, incoming: &Schema, name: &str, label: &str) -> Result<()> {
    let Some(mismatch) = live.mismatch(incoming) else {
        return Ok(());
    };
    Err(BadFile::SchemaMismatch {
        statements: mismatch.statements(),
        names: mismatch.names(),
        name: name.into(),
        database: label.into(),
        active_record: live.is_of_active_record(),
        not_utf8: live.is_utf8() && !incoming.is_utf8(),
    }
    .into())
}
