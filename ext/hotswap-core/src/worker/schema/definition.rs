//! What a CREATE statement defines, in a form that is equal for two statements that SQLite treats alike.
//!
//! Statements are compared word by word, after a few normalizations that cannot change what SQLite does. Anything
//! this module does not understand stays as it is, so that it counts as a difference. The normalizations of a table:
//!
//! - Its constraints have no names, and foreign keys and CHECKs have no order. A CHECK of a column counts as one of
//!   the table, and so does a foreign key if it is the column's only one: Rails rewrites tables, and each time
//!   reverses their foreign keys.
//! - Constraints of different kinds on one column have no order.
//! - `DEFAULT FALSE` is `DEFAULT 0`: Rails 8.1 writes the former, and 8.0 the latter.
//! - `DEFAULT NULL` is no default: Rails 7.1 writes it when it rewrites a table.
//! - The case of a type does not count, nor does `VIRTUAL` after AS.

use super::words::{is, is_boolean, is_keyword, name, reading, words};

/// A word, as [`reading`] returns it.
type Word = Vec<u8>;

/// What a statement defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Definition {
    /// A table with its own columns.
    Table(Table),
    /// Anything else, as its words without its name.
    Other(Vec<Word>),
}

/// A table that is not virtual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    /// In the order of the statement.
    pub columns: Vec<Column>,
    /// Sorted where the order does not matter.
    pub constraints: Vec<Vec<Word>>,
    /// STRICT and WITHOUT ROWID.
    pub options: Vec<Vec<Word>>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Column {
    /// Without quotes.
    pub name: Word,
    words: Vec<Word>,
}

impl Definition {
    /// Parses a statement of `sqlite_schema`.
    pub(crate) fn of(sql: &[u8]) -> Self {
        let words = words(sql);
        match words.as_slice() {
            [create, table, _, rest @ ..] if is(create, "create") && is(table, "table") => {
                Table::of(sql, rest).map_or_else(|| Self::Other(readings(&words)), Self::Table)
            }
            [_, virtual_, table, _, using, module, rest @ ..]
                if is(virtual_, "virtual") && is(table, "table") && is(using, "using") =>
            {
                // SQLite passes the arguments to the module as they are written.
                let module = [b"virtual".to_vec(), name(module).to_ascii_lowercase()];
                let arguments = rest.iter().map(|word| word.to_vec());
                Self::Other(module.into_iter().chain(arguments).collect())
            }
            [_, index, _, rest @ ..] if is(index, "index") => Self::Other(index_words(b"index", rest)),
            [_, unique, index, _, rest @ ..] if is(unique, "unique") && is(index, "index") => {
                Self::Other(index_words(b"unique index", rest))
            }
            // In a view or a trigger, "x" is a string if there is no such column.
            [_, kind, _, rest @ ..] if is(kind, "view") || is(kind, "trigger") => {
                let rest = rest.iter().map(|word| match is_keyword(word) {
                    true => word.to_ascii_lowercase(),
                    false => word.to_vec(),
                });
                Self::Other(std::iter::once(kind.to_ascii_lowercase()).chain(rest).collect())
            }
            _ => Self::Other(readings(&words)),
        }
    }

    /// The module of a virtual table, in lower case.
    pub(crate) fn module(&self) -> Option<&[u8]> {
        match self {
            Self::Other(words) if words.first().is_some_and(|word| word == b"virtual") => {
                words.get(1).map(Vec::as_slice)
            }
            _ => None,
        }
    }

    /// The value of the argument `name = value` of a virtual table, without quotes.
    pub(crate) fn argument(&self, wanted: &str) -> Option<Word> {
        let Self::Other(words) = self else { return None };
        let module = self.module()?;
        let of_module = words.get(2..)?;
        let is_wanted =
            |given: &[u8]| is(given, wanted) || (module == b"fts5" && is_short_for(given, wanted));
        let at = of_module
            .windows(2)
            .position(|two| is_wanted(&name(&two[0])) && two[1] == b"=")?;
        let value = of_module
            .get(at + 2)
            .filter(|word| !matches!(word.as_slice(), b"," | b")"));
        Some(value.map(|word| name(word).into_owned()).unwrap_or_default())
    }

    /// Whether this is an index on the table.
    pub(super) fn is_index_on(&self, table: &[u8]) -> bool {
        match self {
            Self::Other(words) => match words.as_slice() {
                [kind, on, of, ..] => {
                    kind.ends_with(b"index") && is(on, "on") && name(of).eq_ignore_ascii_case(table)
                }
                _ => false,
            },
            Self::Table(_) => false,
        }
    }

    /// Whether one of its words may mean this table.
    pub(crate) fn mentions(&self, table: &[u8]) -> bool {
        matches!(self, Self::Other(words) if words.iter().any(|word| name(word).eq_ignore_ascii_case(table)))
    }
}

/// Whether FTS5 takes `given` as the option `wanted`: the first option that begins like that, of those about the
/// content.
fn is_short_for(given: &[u8], wanted: &str) -> bool {
    let begins = |option: &str| {
        let begin = option.as_bytes().get(..given.len());
        !given.is_empty() && begin.is_some_and(|begin| begin.eq_ignore_ascii_case(given))
    };
    ["content", "content_rowid"]
        .into_iter()
        .find(|option| begins(option))
        == Some(wanted)
}

impl Table {
    /// Parses the words from the opening parenthesis on. `None` if they are not as SQLite writes them.
    fn of(sql: &[u8], words: &[&[u8]]) -> Option<Self> {
        let end = closing(words)?;
        let (body, rest) = (&words[1..end], &words[end + 1..]);
        let mut table = Self::default();
        let mut unordered = Vec::new();
        let mut columns_end = false;
        for item in split_at_commas(body) {
            let constraint = unnamed(item);
            let kind = constraint.first().map(|word| reading(word).into_owned());
            match kind.as_deref() {
                Some(b"foreign" | b"check") => unordered.push(readings(constraint)),
                Some(b"primary" | b"unique") => table.constraints.push(readings(constraint)),
                Some(_) if !columns_end && constraint.len() == item.len() => {
                    let (column, own) = column(sql, item[0], &item[1..]);
                    table.columns.push(column);
                    unordered.extend(own);
                    continue;
                }
                _ => return None,
            }
            columns_end = true;
        }
        unordered.sort();
        table.constraints.extend(unordered);
        let lower = |option: &[&[u8]]| option.iter().map(|word| word.to_ascii_lowercase()).collect();
        table.options = split_at_commas(rest).map(lower).collect();
        table.options.sort();
        Some(table)
    }

    /// The table as it appears to a reader that names every column.
    pub(crate) fn in_any_order(&self) -> Self {
        let mut table = self.clone();
        table.columns.sort();
        table
    }
}

/// A column, and those of its constraints that count as table constraints.
fn column(sql: &[u8], column: &[u8], words: &[&[u8]]) -> (Column, Vec<Vec<Word>>) {
    let mut clauses = clauses(words);
    let kind = type_of(sql, &clauses.remove(0));
    let mut of_the_table = Vec::new();
    let mut own: Vec<Vec<Word>> = Vec::new();
    let is_alone = |kind| clauses.iter().filter(|clause| is(clause[0], kind)).count() == 1;
    let (one_default, one_key) = (is_alone("default"), is_alone("references"));
    for clause in clauses {
        match clause.as_slice() {
            [null] if is(null, "null") => {}
            [default, null] if is(default, "default") && is(null, "null") && one_default => {}
            [default, value] if is(default, "default") => {
                own.push(vec![b"default".to_vec(), default_value(value)])
            }
            [check, ..] if is(check, "check") => of_the_table.push(readings(&clause)),
            // If there are several, DEFERRABLE belongs to the last one.
            [references, ..] if is(references, "references") && one_key => {
                let key: [&[u8]; 5] = [b"foreign", b"key", b"(", column, b")"];
                of_the_table.push(readings(&[&key[..], &clause[..]].concat()));
            }
            [as_, expression @ .., virtual_] if is(as_, "as") && is(virtual_, "virtual") => {
                own.push(readings(&[&[*as_], expression].concat()));
            }
            _ => own.push(readings(&clause)),
        }
    }
    // The sort is stable: of two constraints of one kind, the last one counts.
    own.sort_by(|one, other| one[0].cmp(&other[0]));
    let column = Column {
        name: name(column).into_owned(),
        words: std::iter::once(kind)
            .chain(own)
            .map(|words: Vec<Word>| words.join(&b' '))
            .collect(),
    };
    (column, of_the_table)
}

/// Splits the definition of a column into its type and its constraints.
fn clauses<'a>(words: &[&'a [u8]]) -> Vec<Vec<&'a [u8]>> {
    const BEGINNINGS: [&str; 10] = [
        "constraint",
        "primary",
        "not",
        "null",
        "unique",
        "check",
        "default",
        "collate",
        "references",
        "as",
    ];
    let mut clauses: Vec<Vec<&'a [u8]>> = vec![Vec::new()];
    let mut depth = 0;
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        let current = clauses.last_mut().expect("it begins with one");
        let goes_on = match current.last() {
            Some(before)
                if ["not", "set", "default"]
                    .iter()
                    .any(|keyword| is(before, keyword)) =>
            {
                true
            }
            _ => is(word, "not") && words.peek().is_some_and(|next| is(next, "deferrable")),
        };
        depth += match word {
            b"(" => 1,
            b")" => -1,
            _ => 0,
        };
        if depth > 0 || goes_on || !BEGINNINGS.iter().any(|beginning| is(word, beginning)) {
            current.push(word);
            continue;
        }
        if is(word, "constraint") {
            // Skips the constraint's name as well.
            words.next();
            continue;
        }
        clauses.push(vec![word]);
    }
    clauses
}

/// The words of a type. SQLite treats a comment between them as part of the type, and searches all of it for INT and
/// the like.
fn type_of(sql: &[u8], words: &[&[u8]]) -> Vec<Word> {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return Vec::new();
    };
    let begin = first.as_ptr() as usize - sql.as_ptr() as usize;
    let end = last.as_ptr() as usize - sql.as_ptr() as usize + last.len();
    let written = sql[begin..end].to_ascii_lowercase();
    if written.windows(2).any(|two| two == b"/*" || two == b"--") {
        return vec![written];
    }
    words.iter().map(|word| word.to_ascii_lowercase()).collect()
}

/// SQLite treats a bare word as a string, unless the word has a meaning of its own.
fn default_value(value: &[u8]) -> Word {
    if is_boolean(value) {
        return if is(value, "true") {
            b"1".to_vec()
        } else {
            b"0".to_vec()
        };
    }
    match ["null", "current_time", "current_date", "current_timestamp"]
        .iter()
        .any(|known| is(value, known))
    {
        true => value.to_ascii_lowercase(),
        false if is_keyword(value) => value.to_vec(),
        false => reading(value).into_owned(),
    }
}

/// ASC is the default order of an index.
fn index_words(kind: &[u8], words: &[&[u8]]) -> Vec<Word> {
    let is_default = |at: usize| is(words[at], "asc") && matches!(words.get(at + 1), Some(&b"," | &b")"));
    let rest = (0..words.len())
        .filter(|at| !is_default(*at))
        .map(|at| reading(words[at]).into_owned());
    std::iter::once(kind.to_vec()).chain(rest).collect()
}

fn readings(words: &[&[u8]]) -> Vec<Word> {
    words.iter().map(|word| reading(word).into_owned()).collect()
}

/// A constraint without the name that `CONSTRAINT` gives it.
fn unnamed<'a, 'b>(item: &'a [&'b [u8]]) -> &'a [&'b [u8]] {
    match item {
        [constraint, _, rest @ ..] if is(constraint, "constraint") => rest,
        _ => item,
    }
}

/// The index of the parenthesis that closes the first one.
fn closing(words: &[&[u8]]) -> Option<usize> {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate() {
        match *word {
            b"(" => depth += 1,
            b")" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then_some(at);
        }
    }
    None
}

/// The parts between commas outside parentheses.
fn split_at_commas<'a, 'b>(words: &'a [&'b [u8]]) -> impl Iterator<Item = &'a [&'b [u8]]> {
    let mut depth = 0;
    words.split(move |word| {
        match *word {
            b"(" => depth += 1,
            b")" => depth -= 1,
            _ => {}
        }
        depth == 0 && *word == b","
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    fn are_equal(one: &str, other: &str) -> bool {
        Definition::of(one.as_bytes()) == Definition::of(other.as_bytes())
    }

    fn tables(bodies: &[(&str, &str)], equal: bool) {
        for (one, other) in bodies {
            let [one, other] =
                [one, other].map(|body| format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {body})"));
            assert_eq!(are_equal(&one, &other), equal, "{one}\n{other}");
        }
    }

    #[test]
    fn the_same_table_is_equal_however_it_is_written() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        tables(
            &[
                ("a INT DEFAULT 0, b INT DEFAULT 1", "a INT DEFAULT FALSE, b INT DEFAULT true"),
                ("a INT", "a int DEFAULT NULL"),
                ("a TEXT NOT NULL DEFAULT 'x' COLLATE NOCASE", "\"a\" text COLLATE \"NOCASE\" DEFAULT 'x' NOT NULL"),
                ("a, FOREIGN KEY (a) REFERENCES u (id)", "a REFERENCES u (id)"),
                ("a, CHECK (a > 0)", "a CONSTRAINT positive CHECK(\"a\" > 0)"),
                ("a, CHECK (a > 0), CHECK (a < 9)", "a, CONSTRAINT x CHECK (a < 9), CHECK (a > 0)"),
                (
                    "a, b, CONSTRAINT x FOREIGN KEY (a) REFERENCES u (id) , FOREIGN KEY (b) REFERENCES v (id)",
                    "a, b, CONSTRAINT y FOREIGN KEY (b) REFERENCES v (id), FOREIGN KEY (\"a\")\n REFERENCES u (id)",
                ),
                ("a, b INT AS (a) VIRTUAL NOT NULL", "a, b int NOT NULL AS (a)"),
                (
                    "a REFERENCES u (id) ON DELETE SET NULL NOT DEFERRABLE NULL",
                    "a, FOREIGN KEY (a) REFERENCES u (id) ON DELETE SET NULL NOT DEFERRABLE",
                ),
            ],
            true,
        );
        assert!(are_equal(
            "CREATE TABLE t (a) STRICT, WITHOUT ROWID",
            "CREATE TABLE 't'(a)without rowid, strict"
        ));
        assert!(are_equal(
            "CREATE INDEX i ON t (a ASC, b)",
            "CREATE INDEX \"i\" ON \"t\" (\"a\", \"b\" ASC)"
        ));
        assert!(are_equal(
            "CREATE VIEW v AS SELECT a",
            "CREATE VIEW v as -- what\n select a"
        ));
    }

    #[test]
    fn what_means_more_is_not_equal() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        tables(
            &[
                ("a INT DEFAULT FALSE", "a INT DEFAULT 'FALSE'"),
                ("a INT DEFAULT FALSE", "a INT DEFAULT \"FALSE\""),
                ("a DEFAULT Yes", "a DEFAULT yes"),
                ("a DEFAULT Key", "a DEFAULT key"),
                ("a DEFAULT 1", "a DEFAULT 1 DEFAULT NULL"),
                ("a DEFAULT 1 DEFAULT 2", "a DEFAULT 2 DEFAULT 1"),
                ("a", "A"),
                ("a INT", "a INTEGER"),
                ("a CHAR (20)", "a CHAR /* INT */ (20)"),
                ("a INTEGER PRIMARY KEY", "a \"INTEGER\" PRIMARY KEY"),
                ("a INTEGER PRIMARY KEY", "a INTEGER \"PRIMARY\" KEY"),
                ("a, b, UNIQUE (a, b)", "a, b, UNIQUE (b, a)"),
                (
                    "a, UNIQUE (a) ON CONFLICT IGNORE, UNIQUE (id)",
                    "a, UNIQUE (id), UNIQUE (a) ON CONFLICT IGNORE",
                ),
                ("a NOT NULL ON CONFLICT IGNORE", "a NOT NULL"),
                (
                    "a REFERENCES u (id) ON DELETE SET NULL",
                    "a REFERENCES u (id) ON DELETE SET DEFAULT",
                ),
                (
                    "a REFERENCES u (id) DEFERRABLE",
                    "a REFERENCES u (id) NOT DEFERRABLE",
                ),
                (
                    "a REFERENCES u REFERENCES v NULL DEFERRABLE",
                    "a REFERENCES v REFERENCES u NULL DEFERRABLE",
                ),
                ("a, b AS (a) STORED", "a, b AS (a) VIRTUAL"),
                ("a, b", "b, a"),
                ("\"check\" (1)", "check (1)"),
            ],
            false,
        );
        for (one, other) in [
            ("CREATE INDEX i ON t (a, b)", "CREATE INDEX i ON t (b, a)"),
            ("CREATE INDEX i ON t (a)", "CREATE UNIQUE INDEX i ON t (a)"),
            ("CREATE INDEX i ON t (a)", "CREATE INDEX i ON t (a DESC)"),
            (
                "CREATE VIEW v AS SELECT \"a\" FROM t",
                "CREATE VIEW v AS SELECT a FROM t",
            ),
            (
                "CREATE VIEW v AS SELECT * FROM t LEFT JOIN u",
                "CREATE VIEW v AS SELECT * FROM t \"LEFT\" JOIN u",
            ),
            ("CREATE TABLE t (a) STRICT", "CREATE TABLE t (a)"),
            (
                "CREATE VIRTUAL TABLE s USING fts5(Body)",
                "CREATE VIRTUAL TABLE s USING fts5(body)",
            ),
        ] {
            assert!(!are_equal(one, other), "{one}\n{other}");
        }
    }

    #[test]
    fn columns_in_another_order_are_equal_to_who_names_them() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let table = |sql: &str| match Definition::of(sql.as_bytes()) {
            Definition::Table(table) => table.in_any_order(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            table("CREATE TABLE t (a INT, b TEXT)"),
            table("CREATE TABLE t (b TEXT, a INT)")
        );
        assert_ne!(
            table("CREATE TABLE t (a INT, b TEXT)"),
            table("CREATE TABLE t (a TEXT, b INT)")
        );
    }
}
