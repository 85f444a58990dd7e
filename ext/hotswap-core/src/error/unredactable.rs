//! Why a pull of some tables, or a redacted one, cannot be made.

use std::path::PathBuf;

use super::words::TableNames;
use crate::visible::Shown;

/// What keeps the worker from making the copy.
#[derive(Debug, thiserror::Error)]
pub enum Unredactable {
    /// A redacted copy to which no rule applies would be a plain one.
    #[error(
        "config.hotswap.redact has no rule for {database}, so a redacted copy would have every value. Add a rule{} in \
         config/initializers/hotswap.rb",
        with_name(name.as_deref())
    )]
    NoRules {
        database: String,
        /// The name that a rule has to have; none for the first database.
        name: Option<String>,
    },
    /// A rule for a database that does not exist.
    #[error("config.hotswap.redact names the database {name}, but hotswap manages no database of that name. Correct the rule")]
    NoDatabase { name: String },
    /// A rule for a table that does not exist.
    #[error(
        "config.hotswap.redact names the table {table}, but {database} has no such table. Correct the rule. {tables}"
    )]
    NoTable {
        table: String,
        database: String,
        tables: TableNames,
    },
    /// A rule for a column that does not exist.
    #[error("config.hotswap.redact names the column {column}, but the table {table} has no such column. Correct the rule")]
    NoColumn { table: String, column: String },
    /// A rule for a column that SQLite computes.
    #[error(
        "config.hotswap.redact names the column {column} of {table}, which SQLite computes from other columns. Write the rule \
         for those"
    )]
    Generated { table: String, column: String },
    /// A rule that is not an SQL expression.
    #[error("the expression for {column} in config.hotswap.redact \"{table}\" does not work: {why}. Correct the rule")]
    BadExpression {
        table: String,
        column: String,
        why: String,
    },
    /// A rule for a full-text table that has no values of its own.
    #[error("config.hotswap.redact names columns of {table}, which has its values in {content}. Write the rule for {content}")]
    ContentElsewhere { table: String, content: String },
    /// A rule for a full-text table that keeps only the index.
    #[error(
        "config.hotswap.redact names columns of {table}, which keeps no values, only an index of them. Leave out its rows: \
         config.hotswap.redact \"{table}\", :rows"
    )]
    NoContent { table: String },
    /// The values of a rule do not fit into the table.
    #[error(
        "the table {table} does not accept the values of config.hotswap.redact: {why}. Correct the rule"
    )]
    BadValues { table: String, why: String },
    /// An index over removed values that cannot be rebuilt.
    #[error(
        "the virtual table {table} may hold values of {source_table}, which the copy leaves out or changes, and hotswap cannot \
         rebuild it. Leave its rows out as well: config.hotswap.redact \"{table}\", :rows, or --except {table}"
    )]
    Derived { table: String, source_table: String },
    /// The file of statements fails.
    #[error("cannot run {}, which config.hotswap.redact_with names: {why}. Correct that file", script.shown())]
    BadScript { script: PathBuf, why: String },
    /// A full-text index that SQLite cannot read.
    #[error(
        "the full-text table {table} does not work: {why}. Rebuild its index in the application ({repair}) and pull again"
    )]
    BadIndex {
        table: String,
        why: String,
        repair: String,
    },
    /// Something of the schema cannot be made in the copy.
    #[error("cannot create {what} in the copy: {why}. A plain pull works without that")]
    Unmakeable { what: String, why: String },
    /// The name of a file cannot be given to SQLite.
    #[error(
        "SQLite cannot write a file next to {}, because that name is not UTF-8. A plain pull works without that",
        database.shown()
    )]
    NameIsNotUtf8 { database: PathBuf },
}

fn with_name(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" with database: {name:?}"))
}
