//! Escapes untrusted text for a terminal and a log, and quotes names for a shell.
//!
//! A file, a table or a process may have any name. On a terminal, the raw name could move the cursor, clear the
//! screen or reverse the text next to it. In a log, the raw name could start a new line. This module replaces such
//! characters with escapes: `\x1b`, `\u{202e}`. A password in a URL, such as that of a probe, becomes `…`. Escaping a
//! text a second time does not change it.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Escapes text for use within one line. Line breaks and tabs are escaped too.
pub fn line(text: impl AsRef<[u8]>) -> String {
    hide_passwords(escape(text.as_ref(), |_| false))
}

/// `http://user:password@host` becomes `http://user:…@host`.
fn hide_passwords(text: String) -> String {
    let mut hidden = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("://") {
        hidden.push_str(before);
        hidden.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "/?#'\"".contains(c));
        let authority = &after[..end.unwrap_or(after.len())];
        rest = after;
        if let Some((login, _)) = authority.rsplit_once('@') {
            if let Some((user, _)) = login.split_once(':') {
                hidden.push_str(user);
                hidden.push_str(":…");
                rest = &after[login.len()..];
            }
        }
    }
    hidden + rest
}

/// Escapes text that may have several lines, such as SQL. Newlines and tabs stay.
pub fn lines(text: impl AsRef<[u8]>) -> String {
    hide_passwords(escape(text.as_ref(), |c| matches!(c, '\n' | '\t')))
}

/// One word of a command that a message suggests: in quotes if a shell would change it.
pub fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// Escapes a path for use within one line of a message. `Path::display` does not escape control characters.
pub trait Shown {
    /// See [`line`].
    fn shown(&self) -> String;
}

impl Shown for Path {
    fn shown(&self) -> String {
        line(self.as_os_str().as_bytes())
    }
}

fn escape(text: &[u8], stays: impl Fn(char) -> bool) -> String {
    let mut visible = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Writing to a String cannot fail.
            let _ = match c {
                c if !is_invisible(c) || stays(c) => write!(visible, "{c}"),
                '\n' | '\r' | '\t' => write!(visible, "{}", c.escape_default()),
                c if c.is_ascii() => write!(visible, "\\x{:02x}", u32::from(c)),
                c => write!(visible, "{}", c.escape_unicode()),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(visible, "\\x{byte:02x}");
        }
    }
    visible
}

/// Whether a character is invisible or changes how others are shown. This includes the joiner (U+200D), even between
/// emoji.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_url_is_hidden() {
        for (raw, shown) in [
            (
                "GET http://joe:s3c@ret@host:80/up?a=b@c: 401",
                "GET http://joe:…@host:80/up?a=b@c: 401",
            ),
            (
                "--probe=https://joe:x@a, HTTP://:y@b",
                "--probe=https://joe:…@a, HTTP://:…@b",
            ),
            (
                "http://host:80/a:b@c, http://joe@host",
                "http://host:80/a:b@c, http://joe@host",
            ),
        ] {
            assert_eq!(line(raw), shown);
            assert_eq!(lines(line(raw)), shown);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        for (raw, shown) in [
            (&b"\x1b[2J\x07"[..], "\\x1b[2J\\x07"),
            (b"a\nb\r\nc\td\x7f", "a\\nb\\r\\nc\\td\\x7f"),
            ("\u{9b}2J\u{85}".as_bytes(), "\\u{9b}2J\\u{85}"),
            (
                "\u{202e}3etilqs\u{2066}\u{200f}\u{61c}".as_bytes(),
                "\\u{202e}3etilqs\\u{2066}\\u{200f}\\u{61c}",
            ),
            (
                "a\u{200b}b\u{feff}c\u{2028}d\u{e0041}".as_bytes(),
                "a\\u{200b}b\\u{feff}c\\u{2028}d\\u{e0041}",
            ),
            (b"caf\xe9 \xff\xc3", "caf\\xe9 \\xff\\xc3"),
            (b"\0", "\\x00"),
        ] {
            assert_eq!(line(raw), shown);
        }
    }

    #[test]
    fn no_character_that_unicode_calls_control_or_bidirectional_gets_through() {
        let bad = (0..0x20)
            .chain(0x7f..0xa0)
            .chain(0x202a..=0x202e)
            .chain(0x2066..=0x2069);
        for number in bad.chain([0x200e, 0x200f, 0x61c, 0x2028, 0x2029]) {
            let c = char::from_u32(number).unwrap();
            let shown = line(c.to_string());
            assert!(shown.starts_with('\\') && shown.is_ascii(), "{number:x}: {shown}");
        }
    }

    #[test]
    fn text_of_any_language_stays_as_it_is() {
        for text in [
            "naïve café",
            "漢字",
            "🎉 ☃️",
            "Ελλάδα, עברית, العربية, हिन्दी",
            "C:\\x1b",
            "",
        ] {
            assert_eq!((line(text), lines(text)), (text.to_owned(), text.to_owned()));
        }
    }

    #[test]
    fn a_shell_reads_a_word_as_it_was() {
        for (text, expected) in [
            (
                "storage/tenants/ünal/main.sqlite3",
                "storage/tenants/ünal/main.sqlite3",
            ),
            ("tenants/*/main.sqlite3", "'tenants/*/main.sqlite3'"),
            ("previous.2:my shop", "'previous.2:my shop'"),
            ("o'neill; rm $HOME", r"'o'\''neill; rm $HOME'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), expected);
        }
    }

    #[test]
    fn sql_keeps_its_lines() {
        assert_eq!(
            lines("CREATE TABLE t (\n\tid, \"\x1b\"\r\n)"),
            "CREATE TABLE t (\n\tid, \"\\x1b\"\\r\n)"
        );
    }

    #[test]
    fn twice_is_as_good_as_once() {
        let once = line(b"\x1b\xff\n\\");
        assert_eq!((line(&once), lines(&once)), (once.clone(), once.clone()));
    }
}
