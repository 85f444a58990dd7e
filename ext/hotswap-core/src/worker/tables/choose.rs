//! Chooses the tables that a push of some tables writes, and refuses those that it cannot write.

use rusqlite::Connection;

use super::catalog::{Catalog, Entry};
use super::describe::{describe, refuse, require_content};
use super::table::Table;
use crate::error::{BadFile, Context, Result};
use crate::worker::schema::Schema;

/// Chooses tables of the live database. `select` gets the names of all tables that can be chosen, and the names of
/// those that come along with other ones, and returns the names that the user means. Virtual tables that belong to a
/// chosen table come along.
///
/// Refuses tables that differ in the pushed file, which the user calls `name`, and tables that cannot be pushed
/// without the others. `label` is what the user calls the live database.
pub(crate) fn choose(
    select: impl FnOnce(&[String], &[String]) -> Result<Vec<String>>,
    live: &Connection,
    file: &Connection,
    name: &str,
    label: &str,
) -> Result<Vec<Table>> {
    let reading = "cannot read the schema of the live database";
    let catalog = Catalog::read(live).context(reading)?;
    let choices: Vec<_> = catalog.choices().map(|entry| entry.name.clone()).collect();
    let parts: Vec<_> = catalog.parts().map(|entry| entry.name.clone()).collect();
    let selected = select(&choices, &parts)?;
    let is_chosen = |name: &str| selected.iter().any(|other| other.eq_ignore_ascii_case(name));
    let chosen = catalog.choices().filter(|entry| is_chosen(&entry.name));
    let mut chosen: Vec<_> = chosen.collect();
    let mut searches: Vec<_> = chosen
        .iter()
        .flat_map(|entry| catalog.searches_of(entry))
        .collect();
    for follower in catalog.followers() {
        let owners = catalog.owners(follower);
        let is_search = searches.iter().any(|search| search.name == follower.name);
        if !is_search && owners.iter().any(|owner| is_chosen(owner)) {
            require_all(follower, &owners, is_chosen)?;
            chosen.push(follower);
        }
    }
    searches.extend(&chosen);
    let names = searches;
    require_same_schema(&names, live, file, name, label)?;
    names.iter().try_for_each(|entry| {
        require_content(entry, &catalog)?;
        match entry.has_languages() {
            true => Err(refuse(
                entry,
                "it keeps rows in several languages, which hotswap cannot read".into(),
            )),
            false => Ok(()),
        }
    })?;
    let tables = chosen.into_iter().map(|entry| describe(live, &catalog, entry));
    tables.collect()
}

/// Refuses a virtual table that triggers of several tables write, unless all of them are chosen: the rows that it has
/// of the others would become those of the pushed file.
fn require_all(follower: &Entry, owners: &[&str], is_chosen: impl Fn(&str) -> bool) -> Result<()> {
    let left: Vec<_> = owners.iter().filter(|owner| !is_chosen(owner)).copied().collect();
    if left.is_empty() {
        return Ok(());
    }
    let why = format!(
        "triggers of {} write it as well, and would have to be replaced with it",
        left.join(", ")
    );
    Err(refuse(follower, why))
}

fn require_same_schema(
    tables: &[&Entry],
    live: &Connection,
    file: &Connection,
    name: &str,
    label: &str,
) -> Result<()> {
    let here = Schema::read(live).context("cannot read the schema of the live database")?;
    let there = Schema::read(file).context(format!("cannot read the schema of {name}"))?;
    let names: Vec<_> = tables.iter().map(|table| table.name.as_bytes()).collect();
    let Some(mismatch) = here.mismatch_of_tables(&there, &names) else {
        return Ok(());
    };
    Err(BadFile::TableMismatch {
        statements: mismatch.statements(),
        names: mismatch.names(),
        name: name.into(),
        database: label.into(),
    }
    .into())
}
