//! The tables of a database, and which virtual tables belong to which.

use rusqlite::Connection;

use crate::worker::schema::definition::Definition;
use crate::worker::schema::mismatch::printable;

/// The virtual tables whose rows hotswap can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Module {
    Fts5,
    /// Also FTS3.
    Fts4,
    RTree,
    Other,
}

/// What a full-text index searches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Own,
    None,
    Table(String),
}

/// A table of `sqlite_schema`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    /// `None` for an ordinary table.
    pub module: Option<Module>,
    pub content: Content,
    pub without_rowid: bool,
    pub strict: bool,
    definition: Definition,
}

impl Entry {
    /// Its name, for a message.
    pub(super) fn shown(&self) -> String {
        printable(self.name.as_bytes())
    }

    /// The column that a full-text index calls its rowid.
    pub(super) fn rowid(&self) -> String {
        let given = self.definition.argument("content_rowid");
        given
            .and_then(|name| String::from_utf8(name).ok())
            .unwrap_or_else(|| "rowid".into())
    }

    /// Whether an FTS4 index keeps rows in several languages, which its rows do not show.
    pub(super) fn has_languages(&self) -> bool {
        self.definition.argument("languageid").is_some()
    }
}

/// All tables of a database.
#[derive(Debug)]
pub(super) struct Catalog {
    tables: Vec<Entry>,
    /// The table that a trigger is on, and the trigger.
    triggers: Vec<(String, Definition)>,
    views: Vec<String>,
}

impl Catalog {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut query = connection.prepare(
            "SELECT CAST(type AS TEXT), CAST(name AS TEXT), CAST(tbl_name AS TEXT), CAST(sql AS TEXT) FROM main.sqlite_schema
             WHERE sql NOT NULL ORDER BY rowid",
        )?;
        let mut rows = query.query([])?;
        let mut catalog = Self {
            tables: Vec::new(),
            triggers: Vec::new(),
            views: Vec::new(),
        };
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column)?.as_bytes().map_err(rusqlite::Error::from);
            // A table whose name is not UTF-8 cannot be named either.
            let (Ok(name), Ok(table)) = (
                String::from_utf8(text(1)?.to_vec()),
                String::from_utf8(text(2)?.to_vec()),
            ) else {
                continue;
            };
            let definition = Definition::of(text(3)?);
            match text(0)? {
                b"table" => catalog.tables.push(entry(name, definition)),
                b"trigger" => catalog.triggers.push((table, definition)),
                b"view" => catalog.views.push(name),
                _ => {}
            }
        }
        Ok(catalog)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        self.tables
            .iter()
            .find(|table| table.name.eq_ignore_ascii_case(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The tables that are not virtual.
    pub(super) fn ordinary(&self) -> impl Iterator<Item = &Entry> {
        self.tables.iter().filter(|table| table.module.is_none())
    }

    pub(super) fn is_view(&self, name: &str) -> bool {
        self.views.iter().any(|view| view.eq_ignore_ascii_case(name))
    }

    /// The tables that a user can choose: neither those of SQLite, nor those that come along with another one.
    pub(super) fn choices(&self) -> impl Iterator<Item = &Entry> {
        self.tables.iter().filter(|table| {
            let of_sqlite = table
                .name
                .get(..7)
                .is_some_and(|begin| begin.eq_ignore_ascii_case("sqlite_"));
            !of_sqlite && !self.is_shadow(&table.name) && self.owners(table).is_empty()
        })
    }

    /// The names that a user cannot choose, because they come along with another table.
    pub(super) fn parts(&self) -> impl Iterator<Item = &Entry> {
        let shadows = self.tables.iter().filter(|table| self.is_shadow(&table.name));
        shadows.chain(self.followers())
    }

    /// The full-text indexes that have the content of this table.
    pub(super) fn searches_of(&self, table: &Entry) -> Vec<&Entry> {
        let of_table = |search: &&Entry| matches!(&search.content, Content::Table(content) if content.eq_ignore_ascii_case(&table.name));
        self.tables.iter().filter(of_table).collect()
    }

    /// The virtual tables that belong to other tables.
    pub(super) fn followers(&self) -> impl Iterator<Item = &Entry> {
        self.tables
            .iter()
            .filter(|table| table.module.is_some() && !self.owners(table).is_empty())
    }

    /// The tables that a virtual table belongs to: that of its content, or those whose triggers write it.
    pub(super) fn owners<'a>(&'a self, table: &'a Entry) -> Vec<&'a str> {
        if table.module.is_none() {
            return Vec::new();
        }
        match &table.content {
            Content::Table(content) if !self.is_view(content) => return vec![content],
            _ => {}
        }
        let writing = self
            .triggers
            .iter()
            .filter(|(on, trigger)| !self.is_view(on) && trigger.mentions(table.name.as_bytes()));
        let mut owners: Vec<_> = writing.map(|(on, _)| on.as_str()).collect();
        owners.retain(|owner| !owner.eq_ignore_ascii_case(&table.name));
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The names with pages of their own that a table consists of.
    pub(super) fn parts_of(&self, table: &Entry) -> Vec<String> {
        match table.module {
            None => vec![table.name.clone()],
            Some(_) => {
                let shadows = self
                    .tables
                    .iter()
                    .filter(|other| is_shadow_of(&other.name, table));
                shadows.map(|shadow| shadow.name.clone()).collect()
            }
        }
    }

    /// Whether a virtual table keeps its content in this one.
    fn is_shadow(&self, name: &str) -> bool {
        self.tables.iter().any(|table| is_shadow_of(name, table))
    }
}

fn entry(name: String, definition: Definition) -> Entry {
    let module = definition.module().map(|module| match module {
        b"fts5" => Module::Fts5,
        b"fts3" | b"fts4" => Module::Fts4,
        b"rtree" | b"rtree_i32" => Module::RTree,
        _ => Module::Other,
    });
    let content = match definition.argument("content") {
        Some(content) if matches!(module, Some(Module::Fts5 | Module::Fts4)) => match content.is_empty() {
            true => Content::None,
            false => Content::Table(String::from_utf8_lossy(&content).into_owned()),
        },
        _ => Content::Own,
    };
    let has = |name: &[u8]| {
        matches!(&definition, Definition::Table(table)
            if table.options.iter().any(|option| option.join(&b' ') == name))
    };
    let (without_rowid, strict) = (has(b"without rowid"), has(b"strict"));
    Entry {
        name,
        module,
        content,
        without_rowid,
        strict,
        definition,
    }
}

/// SQLite reserves these names for a virtual table, but lists them only since 3.37.
fn is_shadow_of(name: &str, table: &Entry) -> bool {
    let ends: &[&str] = match table.module {
        Some(Module::Fts5) => &["data", "idx", "content", "docsize", "config"],
        Some(Module::Fts4) => &["content", "segments", "segdir", "docsize", "stat"],
        Some(Module::RTree) => &["node", "rowid", "parent"],
        _ => return false,
    };
    let rest = name
        .get(..table.name.len())
        .filter(|begin| begin.eq_ignore_ascii_case(&table.name))
        .and_then(|_| name[table.name.len()..].strip_prefix('_'));
    rest.is_some_and(|rest| ends.iter().any(|end| end.eq_ignore_ascii_case(rest)))
}
