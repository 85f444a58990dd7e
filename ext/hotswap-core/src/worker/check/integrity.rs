//! `PRAGMA integrity_check` on a [foreign](crate::worker::sqlite::foreign) file, by the same SQLite that will serve it.

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::without_views::without_views;
use crate::error::{is_of_the_machine, BadFile, Context, Error, Result};
use crate::sys::memory;
use crate::visible;

/// How much of the checked file SQLite may map, in bytes. SQLite itself maps at most 2 GB, and reads the rest.
const MAPPED: i64 = 1 << 40;
/// SQLite calls the progress handler after this many steps of its virtual machine: about every 10 ms.
const STEPS: i32 = 100_000;
/// How many problems a message lists.
const PROBLEMS: usize = 10;
/// The maximum length of one problem, in characters. It can contain names from the file.
const PROBLEM: usize = 1000;

/// Runs the whole `PRAGMA integrity_check` on the file that the user calls `name`. SQLite calls `progress` during
/// the check, up to a hundred times a second.
pub(super) fn check_integrity(
    connection: &Connection,
    name: &str,
    mut progress: impl FnMut() + Send + 'static,
) -> Result<()> {
    let go_on = move || {
        progress();
        false
    };
    let found = connection
        .progress_handler(STEPS, Some(go_on))
        .and_then(|()| map(connection))
        .and_then(|()| without_views(connection, || problems(connection)));
    // This can fail only if setting the handler failed, too.
    let _ = connection.progress_handler(0, None::<fn() -> bool>);
    match found.and_then(|found| modules_are_known(connection).map(|()| found)) {
        Ok(found) if found.is_empty() => Ok(()),
        Ok(found) => Err(damaged(name, format!("\n{}\n", found.join("\n")))),
        Err(error) if is_of_the_machine(&error) => Err(error).context(format!("cannot check {name}")),
        Err(error) => Err(refusal(connection, &error, name)),
    }
}

/// Lets SQLite map the file and read it in the page cache. This saves a third of the time, because the check looks
/// up every row in every index, in the order of the rows and not of the index. SQLite reads a file that is larger
/// than the free memory page by page instead: otherwise the kernel would drop pages all the time, and reading a
/// mapped page again would also read its neighbours.
///
/// Truncating a mapped file would end this process with SIGBUS, but only this process writes to a staged file, and
/// no other process knows its name. A disk that cannot read what was just written would end it, too: then the push
/// ends, and the live database is untouched.
fn map(connection: &Connection) -> rusqlite::Result<()> {
    let fits = |left| file_size(connection).is_ok_and(|size| size.unsigned_abs() <= left);
    if !memory::left().is_none_or(fits) {
        return Ok(());
    }
    let mapped = connection.query_row(&format!("PRAGMA mmap_size={MAPPED}"), [], |_| Ok(()));
    mapped.optional().map(drop)
}

/// The size of the database, in bytes.
fn file_size(connection: &Connection) -> rusqlite::Result<i64> {
    // As statements: a pushed file may contain a view that is called pragma_page_count.
    let number = |pragma| connection.query_row::<i64, _, _>(pragma, [], |row| row.get(0));
    Ok(number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?))
}

fn damaged(name: &str, found: String) -> Error {
    let name = name.into();
    BadFile::Damaged { name, found }.into()
}

fn problems(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS})"))?;
    let rows: Vec<String> = check
        .query_map([], |row| {
            let problem = row.get_ref(0)?.as_bytes()?;
            // SQLite reports damaged pages in one row with many lines, which contains no names. Other rows contain
            // names.
            let problem = match problem.starts_with(b"*** in database ") {
                true => visible::lines(problem),
                false => visible::line(problem),
            };
            Ok(problem.chars().take(PROBLEM).collect())
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(rows.into_iter().filter(|row| row != "ok").collect())
}

/// The integrity check skips a virtual table whose module is missing. The application would fail on it.
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

/// The refusal of a damaged file, or of one that needs something that this server does not have.
fn refusal(connection: &Connection, error: &rusqlite::Error, name: &str) -> Error {
    let text = visible::line(error.to_string());
    let missing = [
        "no such module",
        "no such function",
        "unknown function",
        "no such collation",
        "no such tokenizer",
        "unknown tokenizer",
    ];
    if missing.iter().any(|sign| text.contains(sign)) {
        return BadFile::NeedsExtension {
            name: name.into(),
            why: text,
        }
        .into();
    }
    if error.sqlite_error_code() == Some(ErrorCode::OutOfMemory) {
        return BadFile::TooMuchMemory {
            name: name.into(),
            megabytes: heap_limit(connection) / 1024 / 1024,
        }
        .into();
    }
    damaged(name, format!(" {text}\n"))
}

/// In bytes; 0 if SQLite does not report it.
fn heap_limit(connection: &Connection) -> i64 {
    connection
        .query_row("PRAGMA hard_heap_limit", [], |row| row.get(0))
        .unwrap_or(0)
}
