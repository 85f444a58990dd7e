//! A statement whose values keep their type and their bytes on the way from one database to another.
//!
//! rusqlite converts text to UTF-8. In a database with UTF-16 that would lose text that is not valid.

use std::cmp::Ordering;
use std::ffi::c_int;
use std::marker::PhantomData;

use rusqlite::{ffi, Connection, Error};

/// How SQLite orders the texts of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Collation {
    Binary,
    NoCase,
    RTrim,
}

impl Collation {
    /// `None` for a collation of the application.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "BINARY" => Some(Self::Binary),
            "NOCASE" => Some(Self::NoCase),
            "RTRIM" => Some(Self::RTrim),
            _ => None,
        }
    }
}

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Cursor<'c> {
    statement: *mut ffi::sqlite3_stmt,
    connection: PhantomData<&'c Connection>,
}

impl<'c> Cursor<'c> {
    pub(super) fn prepare(connection: &'c Connection, sql: &str) -> rusqlite::Result<Self> {
        let mut statement = std::ptr::null_mut();
        let length = c_int::try_from(sql.len()).map_err(|_| Error::InvalidQuery)?;
        // SAFETY: the handle lives as long as `connection`; SQLite reads `length` bytes; no tail is asked for.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(
                connection.handle(),
                sql.as_ptr().cast(),
                length,
                &mut statement,
                std::ptr::null_mut(),
            )
        };
        let cursor = Self {
            statement,
            connection: PhantomData,
        };
        match code {
            ffi::SQLITE_OK if !statement.is_null() => Ok(cursor),
            ffi::SQLITE_OK => Err(Error::InvalidQuery),
            code => Err(failure(connection, code)),
        }
    }

    /// Goes to the next row. Returns whether there is one.
    pub(super) fn step(&mut self) -> rusqlite::Result<bool> {
        // SAFETY: the statement is prepared, and its connection is open.
        match unsafe { ffi::sqlite3_step(self.statement) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(self.failure(code)),
        }
    }

    /// Runs a statement that has no rows, and makes it ready for the next time.
    pub(super) fn run(&mut self) -> rusqlite::Result<()> {
        let stepped = self.step();
        self.reset();
        stepped.map(drop)
    }

    /// Ends the walk through the rows. What is bound stays.
    pub(super) fn reset(&mut self) {
        // SAFETY: the statement is prepared. The code repeats what the last step reported.
        unsafe { ffi::sqlite3_reset(self.statement) };
    }

    /// Binds the value of another statement's row. `place` counts from 1.
    pub(super) fn bind(&mut self, place: usize, from: &Cursor<'_>, column: usize) -> rusqlite::Result<()> {
        // SAFETY: both statements are prepared, and SQLite checks both numbers. It copies the value.
        let code = unsafe {
            let value = ffi::sqlite3_column_value(from.statement, column as c_int);
            ffi::sqlite3_bind_value(self.statement, place as c_int, value)
        };
        self.judge(code)
    }

    /// Binds a number, or NULL.
    pub(super) fn bind_number(&mut self, place: usize, number: Option<i64>) -> rusqlite::Result<()> {
        // SAFETY: the statement is prepared, and SQLite checks the place.
        let code = unsafe {
            match number {
                Some(number) => ffi::sqlite3_bind_int64(self.statement, place as c_int, number),
                None => ffi::sqlite3_bind_null(self.statement, place as c_int),
            }
        };
        self.judge(code)
    }

    /// The number in a column; `None` for NULL.
    pub(super) fn number(&self, column: usize) -> Option<i64> {
        // SAFETY: the statement is prepared, and SQLite checks the column.
        (self.kind(column) != ffi::SQLITE_NULL)
            .then(|| unsafe { ffi::sqlite3_column_int64(self.statement, column as c_int) })
    }

    /// Whether the value is NULL. The key of a row never is.
    pub(super) fn is_null(&self, column: usize) -> bool {
        self.kind(column) == ffi::SQLITE_NULL
    }

    /// How many bytes the value takes.
    pub(super) fn size(&self, column: usize) -> u64 {
        match self.kind(column) {
            ffi::SQLITE_TEXT | ffi::SQLITE_BLOB => self.bytes(column).len() as u64,
            ffi::SQLITE_NULL => 0,
            _ => 8,
        }
    }

    /// Whether both values have the same type and the same bytes.
    pub(super) fn is_same(&self, column: usize, other: &Cursor<'_>, theirs: usize) -> bool {
        let kind = self.kind(column);
        kind == other.kind(theirs)
            && match kind {
                ffi::SQLITE_NULL => true,
                ffi::SQLITE_INTEGER => self.number(column) == other.number(theirs),
                ffi::SQLITE_FLOAT => self.real(column).to_bits() == other.real(theirs).to_bits(),
                _ => self.bytes(column) == other.bytes(theirs),
            }
    }

    /// The order of two values, as SQLite sorts them: NULL, numbers, text, blobs.
    pub(super) fn order(
        &self,
        column: usize,
        other: &Cursor<'_>,
        theirs: usize,
        collation: Collation,
    ) -> Ordering {
        let (one, two) = (self.kind(column), other.kind(theirs));
        match (one, two) {
            (ffi::SQLITE_NULL, ffi::SQLITE_NULL) => Ordering::Equal,
            (ffi::SQLITE_INTEGER, ffi::SQLITE_INTEGER) => self.number(column).cmp(&other.number(theirs)),
            (ffi::SQLITE_FLOAT, ffi::SQLITE_FLOAT) => self.real(column).total_cmp(&other.real(theirs)),
            (ffi::SQLITE_INTEGER, ffi::SQLITE_FLOAT) => {
                compare(self.number(column).unwrap_or(0), other.real(theirs))
            }
            (ffi::SQLITE_FLOAT, ffi::SQLITE_INTEGER) => {
                compare(other.number(theirs).unwrap_or(0), self.real(column)).reverse()
            }
            (ffi::SQLITE_TEXT, ffi::SQLITE_TEXT) => {
                collate(self.bytes(column), other.bytes(theirs), collation)
            }
            (ffi::SQLITE_BLOB, ffi::SQLITE_BLOB) => self.bytes(column).cmp(other.bytes(theirs)),
            _ => class(one).cmp(&class(two)),
        }
    }

    fn kind(&self, column: usize) -> c_int {
        // SAFETY: the statement is prepared, and SQLite checks the column.
        unsafe { ffi::sqlite3_column_type(self.statement, column as c_int) }
    }

    fn real(&self, column: usize) -> f64 {
        // SAFETY: the statement is prepared, and SQLite checks the column.
        unsafe { ffi::sqlite3_column_double(self.statement, column as c_int) }
    }

    /// The bytes of a text or blob, in the encoding of the database. SQLite converts a value when a
    /// caller asks for its text. This asks for its blob first, so SQLite converts nothing and counts these bytes.
    fn bytes(&self, column: usize) -> &[u8] {
        // SAFETY: the bytes stay until the next step, which needs the statement exclusively.
        unsafe {
            let begin = ffi::sqlite3_column_blob(self.statement, column as c_int);
            let length = ffi::sqlite3_column_bytes(self.statement, column as c_int);
            match begin.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(begin.cast(), length as usize),
            }
        }
    }

    fn judge(&self, code: c_int) -> rusqlite::Result<()> {
        match code {
            ffi::SQLITE_OK => Ok(()),
            code => Err(self.failure(code)),
        }
    }

    fn failure(&self, code: c_int) -> Error {
        // SAFETY: the statement is prepared, so it has a connection, which copies its message for us.
        let message = unsafe {
            let connection = ffi::sqlite3_db_handle(self.statement);
            std::ffi::CStr::from_ptr(ffi::sqlite3_errmsg(connection))
        };
        let message = message.to_string_lossy().into_owned();
        Error::SqliteFailure(ffi::Error::new(code), Some(message))
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        // SAFETY: no other value has the statement. SQLite accepts null.
        unsafe { ffi::sqlite3_finalize(self.statement) };
    }
}

fn failure(connection: &Connection, code: c_int) -> Error {
    // SAFETY: the handle lives as long as `connection`.
    let message = unsafe { std::ffi::CStr::from_ptr(ffi::sqlite3_errmsg(connection.handle())) };
    let message = message.to_string_lossy().into_owned();
    Error::SqliteFailure(ffi::Error::new(code), Some(message))
}

fn class(kind: c_int) -> u8 {
    match kind {
        ffi::SQLITE_NULL => 0,
        ffi::SQLITE_INTEGER | ffi::SQLITE_FLOAT => 1,
        ffi::SQLITE_TEXT => 2,
        _ => 3,
    }
}

/// Exact, although no float has all the digits of an integer.
fn compare(integer: i64, real: f64) -> Ordering {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if real >= LIMIT {
        return Ordering::Less;
    }
    if real < -LIMIT {
        return Ordering::Greater;
    }
    let whole = real as i64;
    integer
        .cmp(&whole)
        .then_with(|| 0.0_f64.total_cmp(&(real - whole as f64)))
}

fn collate(one: &[u8], two: &[u8], collation: Collation) -> Ordering {
    match collation {
        Collation::Binary => one.cmp(two),
        Collation::NoCase => {
            let lower = |text: &'_ [u8]| text.iter().map(u8::to_ascii_lowercase).collect::<Vec<_>>();
            match one == two {
                true => Ordering::Equal,
                false => lower(one).cmp(&lower(two)),
            }
        }
        Collation::RTrim => trimmed(one).cmp(trimmed(two)),
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |at| at + 1);
    &text[..end]
}
