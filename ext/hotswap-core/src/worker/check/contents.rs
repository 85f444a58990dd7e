//! What the rows of a pushed file reveal, compared with those of the live database.

use rusqlite::Connection;

use crate::worker::schema::mismatch::printable;
use crate::worker::schema::Schema;

/// The first table of the application that has a row. A table that cannot be read, for example because its module is
/// missing, counts as `unreadable` says.
pub(super) fn table_with_rows(connection: &Connection, schema: &Schema, unreadable: bool) -> Option<String> {
    let mut tables = schema.tables();
    let found = tables.find(|table| has_rows(connection, &table.name).unwrap_or(unreadable));
    found.map(|table| printable(&table.name))
}

/// Whether a table has a row.
pub(super) fn has_rows(connection: &Connection, table: &[u8]) -> rusqlite::Result<bool> {
    let quoted = std::str::from_utf8(table)?.replace('"', "\"\"");
    connection
        .prepare(&format!("SELECT 1 FROM \"{quoted}\" LIMIT 1"))?
        .exists([])
}

/// The Rails environment that the database was created in. `None` if it does not store one, or if the value could
/// not be a name.
pub(super) fn environment(connection: &Connection) -> Option<String> {
    let value = "SELECT value FROM ar_internal_metadata WHERE key = 'environment'";
    let name: String = connection.query_row(value, [], |row| row.get(0)).ok()?;
    let is_name = (1..=50).contains(&name.len())
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c));
    is_name.then_some(name)
}
