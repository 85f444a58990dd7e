//! A table of the database that is pulled, and its columns.

use rusqlite::Connection;

use crate::worker::schema::definition::Definition;

/// Which tables a virtual table of SQLite's own modules keeps its content in. SQLite reports those of other modules.
const PARTS: [(&str, &[&str]); 4] = [
    ("fts5", &["data", "idx", "content", "docsize", "config"]),
    ("fts4", &["content", "segments", "segdir", "docsize", "stat"]),
    ("fts3", &["content", "segments", "segdir", "docsize", "stat"]),
    ("rtree", &["node", "rowid", "parent"]),
];

/// The names by which SQL reaches a rowid, unless a column has them.
const ROWIDS: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// A table, as `sqlite_schema` has it.
#[derive(Debug)]
pub(super) struct Table {
    pub name: String,
    pub sql: String,
    pub kind: Kind,
}

/// Where the rows are.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// In a b-tree of its own.
    Ordinary,
    /// In the b-trees of other tables.
    Virtual {
        /// In lower case.
        module: String,
        /// A full-text table without values of its own: the table or view that has them. Empty if none has.
        content: Option<String>,
    },
    /// It has the content of this virtual table.
    Part(String),
}

/// A column.
#[derive(Debug)]
pub(super) struct Column {
    pub name: String,
    pub is_generated: bool,
}

impl Table {
    pub(super) fn is_virtual(&self) -> bool {
        matches!(self.kind, Kind::Virtual { .. })
    }

    /// Whether this is a full-text table.
    pub(super) fn is_full_text(&self) -> bool {
        matches!(&self.kind, Kind::Virtual { module, .. } if module.starts_with("fts") && !module.ends_with("vocab"))
    }

    /// The table or view that a full-text table is an index of.
    pub(super) fn content(&self) -> Option<&str> {
        match &self.kind {
            Kind::Virtual { content, .. } => content.as_deref(),
            _ => None,
        }
    }

    /// Whether `name` is that of a table in which this virtual table keeps its content. `is_reported`: SQLite says that
    /// it is one of a virtual table.
    pub(super) fn has_part(&self, name: &str, is_reported: bool) -> bool {
        let Kind::Virtual { module, content } = &self.kind else {
            return false;
        };
        let Some(rest) = self.rest_of(name) else {
            return false;
        };
        match PARTS.iter().find(|(known, _)| known == module) {
            // SQLite goes by the name alone, also where an index has no content of its own.
            Some(_) if content.is_some() && rest.eq_ignore_ascii_case("content") => false,
            Some((_, parts)) => parts.iter().any(|part| part.eq_ignore_ascii_case(rest)),
            None => is_reported,
        }
    }

    /// What `name` has after the name of this table and an underscore.
    fn rest_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let begin = name.get(..self.name.len())?;
        let rest = name[self.name.len()..].strip_prefix('_')?;
        begin.eq_ignore_ascii_case(&self.name).then_some(rest)
    }

    /// The columns that a statement can name.
    pub(super) fn columns(&self, connection: &Connection) -> rusqlite::Result<Vec<Column>> {
        let mut query = connection
            .prepare("SELECT name, hidden FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 1")?;
        let rows = query.query_map([&self.name], |row| {
            Ok(Column {
                name: row.get(0)?,
                is_generated: row.get::<_, i64>(1)? > 1,
            })
        })?;
        rows.collect()
    }

    /// The name of the rowid, if rows have one that no column shows: in the copy, rows keep it only if it is copied
    /// like a column.
    pub(super) fn hidden_rowid(
        &self,
        connection: &Connection,
        columns: &[Column],
    ) -> rusqlite::Result<Option<&'static str>> {
        let is_column = |name: &str| {
            columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(name))
        };
        let Some(rowid) = ROWIDS.into_iter().find(|name| !is_column(name)) else {
            return Ok(None);
        };
        if let Kind::Virtual { module, .. } = &self.kind {
            return Ok(module.starts_with("fts").then_some(rowid));
        }
        let is_there = connection
            .prepare(&format!("SELECT {rowid} FROM main.{}", quoted(&self.name)))
            .is_ok();
        Ok((is_there && !self.has_integer_key(connection)?).then_some(rowid))
    }

    /// Whether a column is the rowid. `INTEGER PRIMARY KEY DESC` is not: it has an index.
    fn has_integer_key(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let one = |sql: &str| connection.query_row(sql, [&self.name], |row| row.get::<_, bool>(0));
        Ok(one(
            "SELECT count(*) = 1 AND max(upper(type)) = 'INTEGER' FROM pragma_table_info(?1, 'main') WHERE pk > 0",
        )? && one("SELECT count(*) = 0 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'")?)
    }

    /// Whether the table has an index. Then SQLite keeps the rowids when it transfers all rows.
    pub(super) fn has_index(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let sql = "SELECT count(*) > 0 FROM pragma_index_list(?1, 'main')";
        connection.query_row(sql, [&self.name], |row| row.get(0))
    }
}

impl Kind {
    /// What a statement of `sqlite_schema` defines. Parts are not known from their statement.
    pub(super) fn of(sql: &str) -> Self {
        let definition = Definition::of(sql.as_bytes());
        let Some(module) = definition.module() else {
            return Self::Ordinary;
        };
        let content = definition
            .argument("content")
            .filter(|_| module.starts_with(b"fts"));
        Self::Virtual {
            module: String::from_utf8_lossy(module).into_owned(),
            content: content.map(|content| String::from_utf8_lossy(&content).into_owned()),
        }
    }
}

/// The name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_of_a_full_text_table_is_read_from_its_statement() {
        for (arguments, expected) in [
            ("fts5(title, content='articles')", Some("articles")),
            (
                "fts5(title, content = \"odd \"\"name\", content_rowid=id)",
                Some("odd \"name"),
            ),
            ("fts4(content=articles, title)", Some("articles")),
            ("fts4(title, content=\"\")", Some("")),
            ("fts5(content, title)", None),
            ("fts5(title, tokenize='porter content=x')", None),
            ("rtree(id, content=x)", None),
            (
                "\"FTS5\"(title, Conten='articles', content_r=id)",
                Some("articles"),
            ),
            ("[fts4](conten=articles)", None),
        ] {
            let Kind::Virtual { content, .. } =
                Kind::of(&format!("CREATE VIRTUAL TABLE t USING {arguments}"))
            else {
                panic!("{arguments}")
            };
            assert_eq!(content.as_deref(), expected, "{arguments}");
        }
        assert_eq!(Kind::of("CREATE TABLE t (a, content='x')"), Kind::Ordinary);
    }
}
