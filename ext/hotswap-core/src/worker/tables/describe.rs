//! Reads from a connection what a [`Table`] is.

use rusqlite::Connection;

use super::catalog::{Catalog, Content, Entry, Module};
use super::cursor::Collation;
use super::search::Search;
use super::sql::quoted;
use super::table::{Column, Key, Table};
use crate::error::{Context, Refused, Result};

/// An ordinary column: neither hidden nor generated.
const PLAIN: i64 = 0;
/// A hidden column of a virtual table.
const HIDDEN: i64 = 1;

/// A column, as SQLite lists it.
struct Listed {
    name: String,
    not_null: bool,
    /// Whether it is part of the primary key.
    in_key: bool,
    hidden: i64,
}

/// An index, as SQLite lists it.
struct Index {
    unique: bool,
    /// Whether it belongs to the PRIMARY KEY.
    is_key: bool,
    partial: bool,
    /// The columns; `None` for an expression or the rowid.
    columns: Vec<(Option<String>, Option<Collation>, bool)>,
}

/// Describes a table of the live database, with the full-text indexes that have its content.
pub(super) fn describe(live: &Connection, catalog: &Catalog, entry: &Entry) -> Result<Table> {
    let searches = catalog.searches_of(entry);
    let reading = format!("cannot read the definition of the table {}", entry.shown());
    let listed = columns(live, &entry.name).context(&reading)?;
    let mut table = match &entry.module {
        Some(module) => of_virtual(entry, *module, &listed)?,
        None => {
            let indexes = indexes(live, &entry.name).context(&reading)?;
            let of_rowid = searches
                .iter()
                .any(|search| is_rowid(&search.rowid(), &listed, &indexes, entry));
            ordinary(entry, &listed, &indexes, of_rowid)?
        }
    };
    table.parts = catalog.parts_of(entry);
    for search in searches {
        require_content(search, catalog)?;
        let described = of_search(live, catalog, search, &table, &listed)?;
        table.parts.extend(catalog.parts_of(search));
        table.generated.extend(described.1);
        table.searches.push(described.0);
    }
    table.generated.sort();
    table.generated.dedup();
    Ok(table)
}

fn of_virtual(entry: &Entry, module: Module, listed: &[Listed]) -> Result<Table> {
    let visible: Vec<_> = listed.iter().filter(|column| column.hidden == PLAIN).collect();
    let (key, columns) = match module {
        Module::Fts5 => ("rowid".to_owned(), &visible[..]),
        Module::Fts4 => ("docid".to_owned(), &visible[..]),
        Module::RTree => match visible.split_first() {
            Some((id, rest)) => (id.name.clone(), rest),
            None => return Err(refuse(entry, "SQLite lists no column of it".into())),
        },
        Module::Other => {
            return Err(refuse(
                entry,
                "hotswap does not know its module, so it cannot write its rows".into(),
            ))
        }
    };
    Ok(Table {
        name: entry.name.clone(),
        key: vec![Key {
            name: key,
            collation: Collation::Binary,
            descending: false,
        }],
        by_rowid: true,
        columns: columns
            .iter()
            .map(|column| Column {
                name: column.name.clone(),
                unique: false,
                indexes: 0,
            })
            .collect(),
        generated: Vec::new(),
        searches: Vec::new(),
        indexes: 0,
        updatable: false,
        parts: Vec::new(),
    })
}

fn ordinary(entry: &Entry, listed: &[Listed], indexes: &[Index], of_rowid: bool) -> Result<Table> {
    let primary = indexes.iter().find(|index| index.is_key);
    let (key, by_rowid) = if let Some(column) = alias_of_rowid(listed, indexes, entry) {
        (vec![plain_key(column)], true)
    } else if let Some(key) = primary.and_then(|index| usable_key(index, listed, entry.without_rowid)) {
        match of_rowid && !entry.without_rowid {
            true => (vec![plain_key(rowid_name(entry, listed)?)], true),
            false => (key, false),
        }
    } else if entry.without_rowid {
        let why = "its primary key has a collation that only the application knows".into();
        return Err(refuse(entry, why));
    } else {
        (vec![plain_key(rowid_name(entry, listed)?)], true)
    };
    let unique: Vec<_> = indexes
        .iter()
        .filter(|index| index.unique)
        .flat_map(|index| &index.columns)
        .filter_map(|(column, ..)| column.as_deref())
        .collect();
    let generated = |name: &str| {
        listed
            .iter()
            .any(|column| column.name == name && column.hidden > HIDDEN)
    };
    // Which columns such an index reads is not listed.
    let is_opaque = |index: &Index| {
        let mut columns = index.columns.iter();
        index.partial || columns.any(|(column, ..)| column.as_deref().is_none_or(generated))
    };
    let opaque = indexes.iter().any(|index| index.unique && is_opaque(index));
    let has = |index: &Index, name: &str| {
        index
            .columns
            .iter()
            .any(|(column, ..)| column.as_deref() == Some(name))
    };
    let indexes_of = |name: &str| {
        indexes
            .iter()
            .filter(|index| is_opaque(index) || has(index, name))
            .count()
    };
    let columns = listed
        .iter()
        .filter(|column| column.hidden == PLAIN && !key.iter().any(|key| key.name == column.name));
    Ok(Table {
        name: entry.name.clone(),
        columns: columns
            .map(|column| Column {
                name: column.name.clone(),
                unique: unique.contains(&column.name.as_str()),
                indexes: indexes_of(&column.name) as u32,
            })
            .collect(),
        key,
        by_rowid,
        generated: Vec::new(),
        searches: Vec::new(),
        indexes: indexes.len() as u32,
        updatable: !opaque,
        parts: Vec::new(),
    })
}

/// The column that is another name of the rowid. Such a primary key has no index.
fn alias_of_rowid(listed: &[Listed], indexes: &[Index], entry: &Entry) -> Option<String> {
    let mut key = listed.iter().filter(|column| column.in_key);
    let column = key.next().filter(|_| key.next().is_none())?;
    let has_index = entry.without_rowid || indexes.iter().any(|index| index.is_key);
    (!has_index).then(|| column.name.clone())
}

/// Whether the column that a full-text index calls its rowid is the rowid of the table.
fn is_rowid(name: &str, listed: &[Listed], indexes: &[Index], entry: &Entry) -> bool {
    let column = listed.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    !column || alias_of_rowid(listed, indexes, entry).is_some_and(|alias| alias.eq_ignore_ascii_case(name))
}

/// The columns of a primary key by which rows can be compared. A row whose key is NULL cannot be found by it.
fn usable_key(index: &Index, listed: &[Listed], without_rowid: bool) -> Option<Vec<Key>> {
    let key = index.columns.iter().map(|(column, collation, descending)| {
        let name = column.clone()?;
        let listed = listed.iter().find(|listed| listed.name == name)?;
        (listed.not_null || without_rowid).then_some(())?;
        (listed.hidden == PLAIN).then_some(())?;
        Some(Key {
            name,
            collation: (*collation)?,
            descending: *descending,
        })
    });
    key.collect()
}

fn plain_key(name: String) -> Key {
    Key {
        name,
        collation: Collation::Binary,
        descending: false,
    }
}

/// A name of the rowid that no column has.
fn rowid_name(entry: &Entry, listed: &[Listed]) -> Result<String> {
    let names = ["rowid", "_rowid_", "oid"];
    let free = names
        .into_iter()
        .find(|name| !listed.iter().any(|column| column.name.eq_ignore_ascii_case(name)));
    free.map(str::to_owned).ok_or_else(|| {
        refuse(
            entry,
            "it has no primary key, and its columns have every name of the rowid (rowid, _rowid_, oid)"
                .into(),
        )
    })
}

/// Describes a full-text index, and lists the generated columns that it needs.
fn of_search(
    live: &Connection,
    catalog: &Catalog,
    entry: &Entry,
    table: &Table,
    listed: &[Listed],
) -> Result<(Search, Vec<String>)> {
    let of_index =
        columns(live, &entry.name).context(format!("cannot read the definition of {}", entry.shown()))?;
    let is_fts5 = entry.module == Some(Module::Fts5);
    let named = of_index.iter().filter(|column| column.hidden == PLAIN);
    let names: Vec<_> = named.map(|column| column.name.clone()).collect();
    let rowid = match entry.rowid() {
        rowid
            if listed
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(&rowid)) =>
        {
            rowid
        }
        _ => table.key[0].name.clone(),
    };
    let mut generated = Vec::new();
    for name in names.iter().chain([&rowid]) {
        if table.place_of(name).is_some() {
            continue;
        }
        match listed
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
        {
            Some(column) => generated.push(column.name.clone()),
            None => {
                let why = format!("its column {name} is not a column of the table {}", table.name);
                return Err(refuse(entry, why));
            }
        }
    }
    let sized = catalog.has(&format!("{}_docsize", entry.name));
    let search = Search {
        name: entry.name.clone(),
        is_fts5,
        table: table.name.clone(),
        rowid,
        columns: names,
        sized,
    };
    Ok((search, generated))
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Listed>> {
    let mut query = connection.prepare(&format!("PRAGMA main.table_xinfo({})", quoted(table)))?;
    let listed = query.query_map([], |row| {
        Ok(Listed {
            name: row.get("name")?,
            not_null: row.get("notnull")?,
            in_key: row.get::<_, i64>("pk")? > 0,
            hidden: row.get("hidden")?,
        })
    })?;
    listed.collect()
}

fn indexes(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Index>> {
    let mut query = connection.prepare(&format!("PRAGMA main.index_list({})", quoted(table)))?;
    let listed = query.query_map([], |row| {
        Ok((
            row.get::<_, String>("name")?,
            row.get::<_, bool>("unique")?,
            row.get::<_, String>("origin")? == "pk",
            row.get::<_, bool>("partial")?,
        ))
    })?;
    let listed: Vec<_> = listed.collect::<rusqlite::Result<_>>()?;
    let mut indexes = Vec::new();
    for (name, unique, is_key, partial) in listed {
        let mut query = connection.prepare(&format!("PRAGMA main.index_xinfo({})", quoted(&name)))?;
        let columns = query.query_map([], |row| {
            let column = (
                row.get::<_, Option<String>>("name")?,
                Collation::named(&row.get::<_, String>("coll")?),
                row.get::<_, bool>("desc")?,
            );
            Ok((row.get::<_, bool>("key")?, column))
        })?;
        let columns: Vec<_> = columns.collect::<rusqlite::Result<_>>()?;
        indexes.push(Index {
            unique,
            is_key,
            partial,
            columns: columns
                .into_iter()
                .filter(|(in_key, _)| *in_key)
                .map(|(_, column)| column)
                .collect(),
        });
    }
    Ok(indexes)
}

/// The refusal of a table that cannot be replaced without the others.
pub(super) fn refuse(entry: &Entry, why: String) -> crate::error::Error {
    Refused::TableAlone {
        table: entry.shown(),
        why,
    }
    .into()
}

/// Refuses a full-text index whose rows hotswap cannot read.
pub(super) fn require_content(entry: &Entry, catalog: &Catalog) -> Result<()> {
    let why = match &entry.content {
        Content::None => "a full-text index without content does not know the rows that it has".to_owned(),
        Content::Table(content) if catalog.is_view(content) => {
            format!("its content is the view {content}, so hotswap cannot tell which rows of it change")
        }
        _ => return Ok(()),
    };
    Err(refuse(entry, why))
}
