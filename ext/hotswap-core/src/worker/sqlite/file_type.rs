//! Recognizes a file that is not a database by its first bytes, and suggests what to do with it.

/// How much of a text is quoted, in characters.
const QUOTED: usize = 40;

/// A kind of file: its first bytes, its name, and what to do.
type Kind = (&'static [u8], &'static str, &'static str);

const KINDS: &[Kind] = &[
    (b"\x1f\x8b", "gzip data", "Unpack it first (gunzip)"),
    (b"PK\x03\x04", "a zip archive", "Unpack it first (unzip)"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "Unpack it first (unzstd)"),
    (b"\xfd7zXZ\0", "xz data", "Unpack it first (unxz)"),
    (b"BZh", "bzip2 data", "Unpack it first (bunzip2)"),
    (b"\x37\x7f\x06\x82", "the -wal of a database", COPY_THE_DATABASE),
    (b"\x37\x7f\x06\x83", "the -wal of a database", COPY_THE_DATABASE),
    (
        b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",
        "the -journal of a database",
        COPY_THE_DATABASE,
    ),
    (
        b"\xff\xfe",
        "text in UTF-16",
        "Do not write the file with PowerShell's >, which converts it",
    ),
    (
        b"version https://git-lfs",
        "a Git LFS pointer",
        "fetch the file itself first (git lfs pull)",
    ),
    (b"PRAGMA foreign_keys", "an SQL dump", LOAD_THE_DUMP),
    (b"BEGIN TRANSACTION", "an SQL dump", LOAD_THE_DUMP),
    (b"<", "an HTML or XML document", CHECK_THE_DOWNLOAD),
    (b"{", "JSON", CHECK_THE_DOWNLOAD),
];

const COPY_THE_DATABASE: &str = "Push the database itself: the command reads the files next to it, too";
const LOAD_THE_DUMP: &str = "Load it into a database first (sqlite3 new.sqlite3 < FILE)";
const CHECK_THE_DOWNLOAD: &str = "Check what the download returned";

/// "looks like gzip data", and what to do. `None` if the kind is unknown.
pub(crate) fn recognize(head: &[u8]) -> Option<(String, &'static str)> {
    let kind = KINDS.iter().find(|(beginning, ..)| head.starts_with(beginning));
    match kind {
        Some((_, name, next)) => Some((format!("looks like {name}"), next)),
        None => text(head).map(|line| {
            (
                format!("begins with the text \"{line}\""),
                "Push an SQLite database, without the text that a shell or ssh prints before it",
            )
        }),
    }
}

/// The first line, if it is plain text.
fn text(head: &[u8]) -> Option<&str> {
    let line = head.split(|byte| *byte == b'\n').next()?.trim_ascii();
    let line = &line[..line.len().min(QUOTED)];
    let plain = line.len() > 3 && line.iter().all(|byte| matches!(byte, b' '..=b'~'));
    // Printable ASCII is always valid UTF-8.
    plain.then(|| std::str::from_utf8(line).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_push_by_mistake_is_recognized() {
        for (head, named) in [
            (&b"\x1f\x8b\x08\0\0"[..], "looks like gzip data"),
            (b"PK\x03\x04\x14", "looks like a zip archive"),
            (b"\xff\xfeS\0Q\0L\0", "looks like text in UTF-16"),
            (b"\x37\x7f\x06\x82\0\x2d", "looks like the -wal of a database"),
            (b"PRAGMA foreign_keys=OFF;\nBEGIN", "looks like an SQL dump"),
            (b"<!DOCTYPE html>", "looks like an HTML or XML document"),
            (b"{\"error\":1}", "looks like JSON"),
            (
                b"Connecting to fdaa:0:1::3... complete\r\nSQLite format 3\0",
                "begins with the text \"Connecting to fdaa:0:1::3... complete\"",
            ),
        ] {
            assert_eq!(recognize(head).unwrap().0, named);
        }
    }

    #[test]
    fn unknown_bytes_get_no_guess() {
        for head in [&b""[..], &[0; 100], b"\x93\x07\xfe\x11\x80", b"\x1b[31mred"] {
            assert_eq!(recognize(head), None);
        }
    }
}
