//! Where the b-trees of tables begin.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// The roots of the trees of a table, by the names of the table and its indexes.
type OfTable = BTreeMap<String, u32>;

/// The roots of the trees of all tables, by the names of the tables.
#[derive(Debug)]
pub(crate) struct Roots(BTreeMap<String, OfTable>);

impl Roots {
    /// Reads them from the schema of the main database of `connection`.
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut tables: BTreeMap<String, OfTable> = BTreeMap::new();
        let mut query = connection
            .prepare("SELECT tbl_name, name, rootpage FROM main.sqlite_schema WHERE rootpage > 1")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let trees = tables.entry(row.get(0)?).or_default();
            trees.insert(row.get(1)?, row.get(2)?);
        }
        Ok(Self(tables))
    }

    /// Pairs of roots: of each tree of the table `name` in this database, and of the same tree in the `other`. `None`
    /// if the two do not have the same trees.
    pub(super) fn to(&self, other: &Self, name: &str) -> Option<Vec<(u32, u32)>> {
        let (ours, theirs) = (self.0.get(name)?, other.0.get(name)?);
        let roots = ours.iter().map(|(name, root)| Some((*root, *theirs.get(name)?)));
        roots
            .collect::<Option<Vec<_>>>()
            .filter(|roots| roots.len() == theirs.len())
    }
}
