//! How two schemas differ, for the user who pushed one of them.

use super::definition::Definition;
use super::object::Object;
use crate::visible;

/// How many statements are shown.
const STATEMENTS: usize = 20;
/// The maximum length of a shown statement, in characters. Twenty of these are far below the limit of a frame.
const LENGTH: usize = 4000;
/// How many names of a kind are shown, and the maximum length of a name, in characters.
const NAMES: usize = 20;
const NAME: usize = 80;

/// The differences between two schemas.
#[derive(Clone, Debug)]
pub(crate) struct Mismatch<'a> {
    pairs: Vec<Pair<'a>>,
}

/// The objects of one kind and name in both schemas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair<'a> {
    /// The object in the live database.
    pub live: Option<&'a Object>,
    /// The object in the pushed file.
    pub incoming: Option<&'a Object>,
}

impl<'a> Mismatch<'a> {
    /// Takes pairs that differ, in the order in which they are to be shown.
    pub(crate) fn new(pairs: Vec<Pair<'a>>) -> Self {
        Self { pairs }
    }

    /// The statements that differ: `- ` before each line of a live one, `+ ` before each line of a pushed one.
    pub(crate) fn statements(&self) -> String {
        let live: Vec<_> = self.pairs.iter().filter_map(|pair| pair.live).collect();
        let incoming: Vec<_> = self.pairs.iter().filter_map(|pair| pair.incoming).collect();
        let room = |other: usize| (STATEMENTS / 2).max(STATEMENTS.saturating_sub(other));
        let (of_live, of_incoming) = (
            room(incoming.len()).min(live.len()),
            room(live.len()).min(incoming.len()),
        );
        let mut lines = Vec::new();
        for (sign, statements) in [('-', &live[..of_live]), ('+', &incoming[..of_incoming])] {
            for statement in statements {
                let text = cut(&visible::lines(&statement.sql), LENGTH);
                lines.extend(text.lines().map(|line| format!("{sign} {line}")));
            }
        }
        let left_out = (live.len() - of_live, incoming.len() - of_incoming);
        if left_out != (0, 0) {
            lines.push(format!(
                "... and {} more live, {} more in the file",
                left_out.0, left_out.1
            ));
        }
        lines.join("\n")
    }

    /// The names of the objects that differ, in one line.
    pub(crate) fn names(&self) -> String {
        let (mut live, mut incoming, mut changed) = (Vec::new(), Vec::new(), Vec::new());
        for pair in &self.pairs {
            match (pair.live, pair.incoming) {
                (Some(object), None) => live.push(printable(&object.name)),
                (None, Some(object)) => incoming.push(printable(&object.name)),
                (Some(here), Some(there)) => changes(here, there, &mut live, &mut incoming, &mut changed),
                (None, None) => {}
            }
        }
        let lists = [
            ("only live", live),
            ("only in the file", incoming),
            ("changed", changed),
        ];
        let lists = lists.iter().filter(|(_, names)| !names.is_empty());
        lists
            .map(|(what, names)| format!("{what}: {}", list(names)))
            .collect::<Vec<_>>()
            .join("; ")
    }
}

/// Compares two objects of one name; tables by their columns.
fn changes(
    here: &Object,
    there: &Object,
    live: &mut Vec<String>,
    incoming: &mut Vec<String>,
    changed: &mut Vec<String>,
) {
    let table = printable(&here.name);
    let (Definition::Table(one), Definition::Table(other)) = (&here.definition, &there.definition) else {
        return changed.push(table);
    };
    let before = live.len() + incoming.len() + changed.len();
    for column in &one.columns {
        let of_table = format!("{table}.{}", printable(&column.name));
        match other.columns.iter().find(|there| there.name == column.name) {
            None => live.push(of_table),
            Some(there) if there != column => changed.push(of_table),
            Some(_) => {}
        }
    }
    for column in &other.columns {
        if !one.columns.iter().any(|there| there.name == column.name) {
            incoming.push(format!("{table}.{}", printable(&column.name)));
        }
    }
    if (&one.constraints, &one.options) != (&other.constraints, &other.options) {
        changed.push(format!("{table} (its constraints)"));
    } else if live.len() + incoming.len() + changed.len() == before {
        changed.push(format!("{table} (the order of its columns)"));
    }
}

fn list(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES)].join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A name, escaped and shortened so that it fits into a line.
pub(crate) fn printable(name: &[u8]) -> String {
    cut(&visible::line(name), NAME)
}

fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use crate::worker::schema::Schema;
    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    fn schema(sql: &str) -> Schema {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        Schema::read(&connection).unwrap()
    }

    #[test]
    fn tables_come_first_and_every_line_has_its_sign() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let live = schema("CREATE TABLE b (id); CREATE INDEX a ON b (id); CREATE VIEW c AS SELECT\n1");
        let incoming = schema("CREATE TABLE b (id); CREATE TRIGGER a AFTER INSERT ON b BEGIN\n SELECT 1; END; CREATE TABLE z (id)");
        let mismatch = live.mismatch(&incoming).unwrap();
        assert_eq!(
            mismatch.statements(),
            "- CREATE INDEX a ON b (id)\n- CREATE VIEW c AS SELECT\n- 1\n\
             + CREATE TABLE z (id)\n+ CREATE TRIGGER a AFTER INSERT ON b BEGIN\n+  SELECT 1; END"
        );
        assert_eq!(mismatch.names(), "only live: a, c; only in the file: z, a");
    }

    #[test]
    fn a_table_that_changed_is_named_by_what_changed_of_it() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        for (live, incoming, names) in [
            ("a, b", "a, c", "only live: t.b; only in the file: t.c"),
            ("a, b", "a, b NOT NULL", "changed: t.b"),
            ("a, b", "b, a", "changed: t (the order of its columns)"),
            ("a, b", "a, b, UNIQUE (b)", "changed: t (its constraints)"),
        ] {
            let [live, incoming] =
                [live, incoming].map(|columns| schema(&format!("CREATE TABLE t ({columns})")));
            assert_eq!(live.mismatch(&incoming).unwrap().names(), names);
        }
    }

    #[test]
    fn a_long_difference_is_cut_with_a_count() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let many = |prefix: &str, count: usize, columns: &str| {
            let tables = (0..count).map(|n| format!("CREATE TABLE {prefix}{n:04} ({columns});"));
            schema(&tables.collect::<String>())
        };
        let wide = (0..200)
            .map(|n| format!("column_with_a_long_name_{n}"))
            .collect::<Vec<_>>()
            .join(", ");
        let (live, incoming) = (many("a", 3, "id"), many("b", 300, &wide));
        let mismatch = live.mismatch(&incoming).unwrap();
        let (statements, names) = (mismatch.statements(), mismatch.names());
        assert!(statements.len() + names.len() < 100_000);
        assert_eq!(statements.lines().filter(|line| line.starts_with('-')).count(), 3);
        assert_eq!(
            statements.lines().filter(|line| line.starts_with('+')).count(),
            17
        );
        assert!(statements.ends_with("... and 0 more live, 283 more in the file"));
        assert!(names.ends_with("b0019 and 280 more"), "{names}");
    }
}
