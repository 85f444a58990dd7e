//! Splits an SQL statement into words as SQLite does.
//!
//! SQLite works on bytes: only ASCII letters have two cases, only ASCII characters are white space, and every other
//! byte belongs to a name. This module follows the same rules. Otherwise a file could hide a name from it that
//! SQLite sees.

use std::borrow::Cow;
use std::ffi::{c_char, c_int};

use rusqlite::ffi;

/// Splits a statement into words. Drops white space and comments.
pub(super) fn words(sql: &[u8]) -> Vec<&[u8]> {
    let mut words = Vec::new();
    let mut rest = sql;
    while let [first, after @ ..] = rest {
        let (length, is_word) = match first {
            b' ' | b'\t' | b'\n' | b'\x0c' | b'\r' => (1, false),
            b'-' if after.first() == Some(&b'-') => (until(rest, b"\n"), false),
            b'/' if after.first() == Some(&b'*') => (2 + until(&rest[2..], b"*/"), false),
            b'\'' | b'"' | b'`' => (quoted(rest, *first), true),
            b'x' | b'X' if after.first() == Some(&b'\'') => (1 + quoted(after, b'\''), true),
            b'[' => (until(rest, b"]"), true),
            b'0'..=b'9' => (number(rest), true),
            c if is_in_name(*c) => (run(rest, is_in_name), true),
            _ => (1, true),
        };
        if is_word {
            words.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    words
}

/// How SQLite reads a word: a keyword in any case, or a name with or without quotes. A quoted keyword is a name, and
/// a quoted `true` is not a number, so both keep their quotes. Names keep their case, because Active Record sees it.
pub(super) fn reading(word: &[u8]) -> Cow<'_, [u8]> {
    if is_keyword(word) {
        return word.to_ascii_lowercase().into();
    }
    if !is_quoted_name(word) {
        return word.into();
    }
    let name = name(word);
    let bare = !name.is_empty()
        && !name[0].is_ascii_digit()
        && name.iter().all(|c| is_in_name(*c))
        && !is_keyword(&name)
        && !is_boolean(&name);
    if bare {
        return name;
    }
    let mut quoted = vec![b'"'];
    for byte in name.iter() {
        quoted.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
    }
    quoted.push(b'"');
    quoted.into()
}

/// The name that a word stands for, without quotes.
pub(super) fn name(word: &[u8]) -> Cow<'_, [u8]> {
    match word {
        [b'[', inner @ .., b']'] => inner.into(),
        [quote @ (b'\'' | b'"' | b'`'), inner @ .., end] if quote == end => {
            let mut name = Vec::with_capacity(inner.len());
            let mut rest = inner;
            while let [first, after @ ..] = rest {
                name.push(*first);
                rest = if first == quote {
                    &after[1.min(after.len())..]
                } else {
                    after
                };
            }
            name.into()
        }
        _ => word.into(),
    }
}

/// Whether the word is this keyword, in any case and without quotes. `keyword` is in lower case.
pub(super) fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

/// Whether the word is `true` or `false`. These are not keywords, but more than names.
pub(super) fn is_boolean(word: &[u8]) -> bool {
    is(word, "true") || is(word, "false")
}

/// Whether this SQLite has a keyword of that name.
pub(super) fn is_keyword(word: &[u8]) -> bool {
    let Ok(length) = c_int::try_from(word.len()) else {
        return false;
    };
    // SAFETY: SQLite reads `length` bytes of the word.
    unsafe { ffi::sqlite3_keyword_check(word.as_ptr().cast::<c_char>(), length) != 0 }
}

fn is_quoted_name(word: &[u8]) -> bool {
    matches!(word.first(), Some(b'"' | b'`' | b'['))
}

fn is_in_name(c: u8) -> bool {
    c.is_ascii_alphanumeric() || c == b'_' || c == b'$' || !c.is_ascii()
}

/// The length up to and including `end`, or the length of the whole text.
fn until(text: &[u8], end: &[u8]) -> usize {
    let found = text.windows(end.len()).position(|window| window == end);
    found.map_or(text.len(), |at| at + end.len())
}

fn run(text: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|c| !belongs(*c)).unwrap_or(text.len())
}

/// The length from a quote to its closing quote. A doubled quote stands for itself.
fn quoted(text: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(found) = text[at..].iter().position(|c| *c == quote) {
        at += found + 1;
        match text.get(at) == Some(&quote) {
            true => at += 1,
            false => return at,
        }
    }
    text.len()
}

/// The length of a number, including the sign of its exponent.
fn number(text: &[u8]) -> usize {
    let length = run(text, |c| is_in_name(c) || c == b'.');
    let hex = text.len() > 1 && matches!(text[1], b'x' | b'X');
    match (&text[length - 1], text.get(length)) {
        (b'e' | b'E', Some(b'+' | b'-')) if !hex => length + 1 + run(&text[length + 1..], is_in_name),
        _ => length,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    fn readings(sql: &str) -> Vec<String> {
        let words = words(sql.as_bytes());
        let readings = words.iter().map(|word| reading(word));
        readings
            .map(|word| String::from_utf8(word.into_owned()).unwrap())
            .collect()
    }

    #[test]
    fn two_spellings_read_the_same() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        for (one, other) in [
            ("CREATE  TABLE t", "create\n\ttable t -- a comment"),
            ("\"name\" [name] `name`", "name name name"),
            ("a /* b */, c", "a,c"),
            ("\"a\"\"b\"", "`a\"b`"),
        ] {
            assert_eq!(readings(one), readings(other), "{one}");
        }
    }

    #[test]
    fn what_sqlite_tells_apart_reads_differently() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        for (one, other) in [
            ("PRIMARY", "\"PRIMARY\""),
            ("true", "\"true\""),
            ("current_timestamp", "`current_timestamp`"),
            ("name", "Name"),
            ("'Yes'", "'yes'"),
            ("\"Yes\"", "\"yes\""),
            ("(", "\"(\""),
            ("1", "\"1\""),
            ("x'ab'", "x 'ab'"),
            ("1e+5", "1e + 5"),
            ("'a''b'", "'a' 'b'"),
            ("PRIMARY KEY", "\u{a0}PRIMARY KEY"),
            ("Ä", "ä"),
            ("/*/ a */ b", "/*/ b"),
        ] {
            assert_ne!(readings(one), readings(other), "{one}");
        }
    }

    #[test]
    fn a_word_that_does_not_end_ends_with_the_text() {
        for sql in ["'abc", "\"abc", "[abc", "a''", "é 'ü", "x'", "\""] {
            assert_eq!(
                words(sql.as_bytes()).concat().len(),
                sql.replace(' ', "").len(),
                "{sql}"
            );
        }
        assert!(words(b"/* abc").is_empty() && words(b"-- abc").is_empty() && words(b"/*").is_empty());
    }

    #[test]
    fn a_name_is_what_its_quotes_hold() {
        for (word, expected) in [
            ("\"a\"\"b\"", "a\"b"),
            ("[a]", "a"),
            ("'it''s'", "it's"),
            ("a", "a"),
            ("\"", "\""),
        ] {
            assert_eq!(name(word.as_bytes()).as_ref(), expected.as_bytes());
        }
    }
}
