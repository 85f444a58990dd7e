//! What the copy gets of each table.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::schema::Schema;
use super::table::{quoted, Kind, Table};
use crate::error::{Error, Refused, Result, Unredactable, Usage};
use crate::redaction_rules::Rule;
use crate::selection::{is_of_active_record, matching, meant, Groups, Selection};
use crate::visible;

/// What the copy gets of one table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Keep {
    /// All rows as they are.
    All,
    /// No rows.
    Nothing,
    /// All rows, with an SQL expression in place of some values.
    Changed(BTreeMap<String, String>),
    /// A full-text index over a table of which the copy does not get all rows as they are: the index is rebuilt.
    Anew,
}

/// What the copy gets of each table, by name.
#[derive(Debug)]
pub(super) struct Plan(BTreeMap<String, Keep>);

impl Plan {
    /// All of it.
    pub(super) fn of_all(schema: &Schema) -> Self {
        let tables = schema.tables.iter();
        Self(tables.map(|table| (table.name.clone(), Keep::All)).collect())
    }

    /// What the copy gets of `table`.
    pub(super) fn of(&self, table: &Table) -> &Keep {
        match &table.kind {
            // The parts of a virtual table that is made anew are made with it.
            Kind::Part(owner) => &self.0[owner],
            _ => &self.0[&table.name],
        }
    }

    /// Leaves out the rows of the tables that the user has not selected. Active Record's own tables always come along:
    /// the schema of the copy is that of the database.
    pub(super) fn select(&mut self, selection: &Selection, groups: &Groups, schema: &Schema) -> Result<()> {
        let names: Vec<_> = schema.nameable().map(|table| table.name.clone()).collect();
        // An index follows the table that has its values.
        let followed = |table: &Table| {
            let content = table.content()?;
            let mut names = names.iter();
            names.find(|name| name.eq_ignore_ascii_case(content)).cloned()
        };
        let indexes = schema.nameable().filter(|table| followed(table).is_some());
        let indexes = indexes.map(|table| table.name.clone());
        let parts: Vec<_> = schema.parts().into_iter().chain(indexes).collect();
        let chosen = selection.choose(groups, &names, &parts).map_err(|error| {
            let Error::Usage(Usage::PartOfTables { option, table }) = error else {
                return error;
            };
            let index = schema
                .nameable()
                .find(|other| other.name.eq_ignore_ascii_case(&table));
            Error::from(match index.and_then(followed) {
                Some(content) => Usage::IndexOfTable {
                    option,
                    table,
                    content,
                },
                None => Usage::PartOfTables { option, table },
            })
        })?;
        for table in schema.nameable() {
            let content = followed(table);
            let named = content.as_ref().unwrap_or(&table.name);
            let is_chosen = chosen.iter().any(|name| name.eq_ignore_ascii_case(named));
            if !is_chosen && !is_of_active_record(&table.name) {
                self.set(&table.name, Keep::Nothing);
            }
        }
        Ok(())
    }

    /// Applies the application's rules to the database, which people call `label`.
    pub(super) fn redact(
        &mut self,
        rules: &[&Rule],
        schema: &Schema,
        live: &Connection,
        label: &str,
    ) -> Result<()> {
        let names: Vec<&String> = schema.nameable().map(|table| &table.name).collect();
        for rule in rules {
            let found = matching(&rule.table, &names);
            if found.is_empty() {
                return Err(refused(Unredactable::NoTable {
                    table: rule.table.clone(),
                    database: label.into(),
                    tables: meant(&rule.table, &names),
                }));
            }
            for table in schema.nameable().filter(|table| found.contains(&&table.name)) {
                self.apply(rule, table, live)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, rule: &Rule, table: &Table, live: &Connection) -> Result<()> {
        let Some(columns) = &rule.columns else {
            self.set(&table.name, Keep::Nothing);
            return Ok(());
        };
        if table.content() == Some("") {
            return Err(refused(Unredactable::NoContent {
                table: table.name.clone(),
            }));
        }
        if let Some(content) = table.content() {
            return Err(refused(Unredactable::ContentElsewhere {
                table: table.name.clone(),
                content: content.into(),
            }));
        }
        let there = table.columns(live).map_err(|error| unreadable(table, error))?;
        for (name, expression) in columns {
            let column = there.iter().find(|column| column.name.eq_ignore_ascii_case(name));
            let (table_name, column_name) = (table.name.clone(), name.clone());
            let column = column.ok_or_else(|| {
                refused(Unredactable::NoColumn {
                    table: table_name.clone(),
                    column: column_name.clone(),
                })
            })?;
            if column.is_generated {
                return Err(refused(Unredactable::Generated {
                    table: table_name,
                    column: column_name,
                }));
            }
            try_out(expression, table, live).map_err(|why| {
                refused(Unredactable::BadExpression {
                    table: table_name,
                    column: column_name,
                    why,
                })
            })?;
            match self.0.get_mut(&table.name) {
                Some(Keep::Changed(changed)) => drop(changed.insert(column.name.clone(), expression.clone())),
                Some(Keep::Nothing) => {}
                _ => self.set(
                    &table.name,
                    Keep::Changed(BTreeMap::from([(column.name.clone(), expression.clone())])),
                ),
            }
        }
        Ok(())
    }

    /// Decides about virtual tables that hold values of other tables.
    pub(super) fn follow(&mut self, schema: &Schema) -> Result<()> {
        let is_changed = |plan: &Self, name: &str| {
            let named = plan.0.iter().find(|(table, _)| table.eq_ignore_ascii_case(name));
            // A view is over tables that are not known here.
            named.is_none_or(|(_, keep)| *keep != Keep::All)
        };
        let changed: Vec<_> = schema
            .nameable()
            .filter(|table| *self.of(table) != Keep::All)
            .collect();
        let Some(first) = changed.first().map(|table| table.name.clone()) else {
            return Ok(());
        };
        for table in schema.nameable().filter(|table| table.is_virtual()) {
            if *self.of(table) != Keep::All {
                continue;
            }
            let mut fillers = schema.fillers(&table.name).peekable();
            let source = match table.content() {
                Some("") if fillers.peek().is_none() => Some(first.clone()),
                Some(content) if !content.is_empty() => {
                    if is_changed(self, content) {
                        self.set(&table.name, Keep::Anew);
                    }
                    None
                }
                _ => fillers.find(|filler| is_changed(self, filler)).map(Into::into),
            };
            if let Some(source_table) = source {
                return Err(refused(Unredactable::Derived {
                    table: table.name.clone(),
                    source_table,
                }));
            }
        }
        Ok(())
    }

    fn set(&mut self, table: &str, keep: Keep) {
        self.0.insert(table.into(), keep);
    }
}

/// Whether the expression can take the place of a value. Returns why not.
fn try_out(expression: &str, table: &Table, live: &Connection) -> std::result::Result<(), String> {
    let why = |error: rusqlite::Error| visible::line(error.to_string());
    let sql = format!(
        "SELECT ({expression}\n) FROM main.{} WHERE 0",
        quoted(&table.name)
    );
    let mut query = live.prepare(&sql).map_err(why)?;
    if query.column_count() != 1 {
        return Err("it is more than one value".into());
    }
    // Only an aggregate makes a row out of none.
    match query
        .query([])
        .and_then(|mut rows| rows.next().map(|row| row.is_some()))
    {
        Ok(false) => Ok(()),
        Ok(true) => {
            Err("it is one value for all rows. Put it in parentheses with a SELECT of its own".into())
        }
        Err(error) => Err(why(error)),
    }
}

fn unreadable(table: &Table, error: rusqlite::Error) -> Error {
    Error::sqlite(
        format!("cannot read the table {}", visible::line(&table.name)),
        error,
    )
}

fn refused(cause: Unredactable) -> Error {
    Refused::from(cause).into()
}
