//! Which tables of a database a copy is about, as the user names them: `--only articles,tag*` or `--except @private`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Result, TableNames, Usage};

/// `config.hotswap.tables`: lists of tables by name, for `@name`.
pub type Groups = BTreeMap<String, Vec<String>>;

/// The tables that a user has named, by their names, by patterns with `*` and `?`, or by groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// These tables.
    Only(Vec<String>),
    /// Every table that belongs to the application, without these.
    Except(Vec<String>),
}

/// Tables of Active Record, which say what schema the database has. A user may name them, but no pattern matches them.
const OF_ACTIVE_RECORD: [&str; 2] = ["schema_migrations", "ar_internal_metadata"];

/// The beginnings of the names of tables that SQLite and Litestream keep for themselves.
const OF_TOOLS: [&str; 2] = ["sqlite_", "_litestream_"];

impl Selection {
    /// The option, as the user types it.
    pub fn option(&self) -> &'static str {
        match self {
            Self::Only(_) => "--only",
            Self::Except(_) => "--except",
        }
    }

    fn names(&self) -> &[String] {
        match self {
            Self::Only(names) | Self::Except(names) => names,
        }
    }

    /// Those of `tables` that the user means, in their order. `parts` are the tables in which virtual tables keep their
    /// content: they come with the virtual table. A name that matches no table is an error.
    pub fn choose(&self, groups: &Groups, tables: &[String], parts: &[String]) -> Result<Vec<String>> {
        let tables: Vec<&String> = tables
            .iter()
            .filter(|table| !is_of_a_tool(table) && !contains(parts, table))
            .collect();
        let mut named: Vec<&String> = Vec::new();
        for (option, pattern) in self.patterns(groups)? {
            let found = matching(pattern, &tables);
            if found.is_empty() {
                return Err(no_table(option, pattern, &tables, parts).into());
            }
            named.extend(found);
        }
        let is_chosen = |table: &String| match self {
            Self::Only(_) => named.contains(&table),
            Self::Except(_) => !named.contains(&table) && !is_of_active_record(table),
        };
        Ok(tables
            .into_iter()
            .filter(|table| is_chosen(table))
            .cloned()
            .collect())
    }

    /// The names and patterns, with those of the groups in place of the groups. With each comes what names it:
    /// "--only", or "--only @content".
    fn patterns<'a>(&'a self, groups: &'a Groups) -> Result<Vec<(String, &'a String)>> {
        let option = self.option();
        let mut patterns = Vec::new();
        for name in self.names() {
            let Some(group) = name.strip_prefix('@') else {
                patterns.push((option.to_owned(), name));
                continue;
            };
            let members = groups.get(group).ok_or_else(|| Usage::NoGroup {
                option,
                group: group.into(),
                groups: groups.keys().cloned().collect(),
            })?;
            patterns.extend(members.iter().map(|member| (format!("{option} {name}"), member)));
        }
        Ok(patterns)
    }
}

fn no_table(option: String, pattern: &str, tables: &[&String], parts: &[String]) -> Usage {
    if is_of_a_tool(pattern) || contains(parts, pattern) {
        return Usage::PartOfTables {
            option,
            table: pattern.into(),
        };
    }
    Usage::NoTable {
        option,
        pattern: pattern.into(),
        tables: meant(pattern, tables),
    }
}

/// Those of `tables` that a user may have meant with `pattern`, which matches none.
pub fn meant(pattern: &str, tables: &[&String]) -> TableNames {
    let similar = tables.iter().filter(|table| are_similar(pattern, table));
    let similar: Vec<String> = similar.map(|table| table.to_string()).collect();
    match similar.is_empty() {
        true => TableNames::All(tables.iter().map(|table| table.to_string()).collect()),
        false => TableNames::Similar(similar),
    }
}

impl std::fmt::Display for Selection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}={}", self.option(), self.names().join(","))
    }
}

/// The tables that match `pattern`. A table of exactly that name comes first, so every table can be named.
pub fn matching<'a>(pattern: &str, tables: &[&'a String]) -> Vec<&'a String> {
    let exact = tables.iter().find(|table| table.eq_ignore_ascii_case(pattern));
    match exact {
        Some(table) => vec![table],
        None => tables
            .iter()
            .filter(|table| matches(pattern, table) && !is_of_active_record(table))
            .copied()
            .collect(),
    }
}

/// Whether the whole of `name` is as `pattern` says. Like SQLite, treats only ASCII letters of both cases as the same.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let tails = name.char_indices().map(|(at, _)| &name[at..]).chain([""]);
            // A run of stars means the same as one.
            let rest = rest.as_str().trim_start_matches('*');
            rest.is_empty() || tails.into_iter().any(|tail| matches(rest, tail))
        }
        Some(expected) => {
            let mut letters = name.chars();
            letters
                .next()
                .is_some_and(|letter| expected == '?' || expected.eq_ignore_ascii_case(&letter))
                && matches(rest.as_str(), letters.as_str())
        }
    }
}

/// Whether Active Record keeps the schema's state in this table.
pub fn is_of_active_record(table: &str) -> bool {
    OF_ACTIVE_RECORD.iter().any(|own| own.eq_ignore_ascii_case(table))
}

/// Whether SQLite or Litestream keeps this table for itself.
pub fn is_of_a_tool(table: &str) -> bool {
    OF_TOOLS.iter().any(|start| {
        table
            .get(..start.len())
            .is_some_and(|own| own.eq_ignore_ascii_case(start))
    })
}

fn contains(tables: &[String], name: &str) -> bool {
    tables.iter().any(|table| table.eq_ignore_ascii_case(name))
}

/// How many leading letters a mistyped name has to share with a table.
const ALIKE: usize = 3;

fn are_similar(pattern: &str, table: &str) -> bool {
    let word = pattern.replace(['*', '?'], "").to_ascii_lowercase();
    let table = table.to_ascii_lowercase();
    let shared = word
        .chars()
        .zip(table.chars())
        .take_while(|(a, b)| a == b)
        .count();
    !word.is_empty() && (shared >= ALIKE || table.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn choose(selection: &Selection) -> std::result::Result<Vec<String>, String> {
        let tables = [
            "schema_migrations",
            "ar_internal_metadata",
            "Articles",
            "tags",
            "taggings",
            "users",
            "a*b",
            "articles_fts",
            "articles_fts_data",
            "sqlite_sequence",
            "_litestream_seq",
        ];
        let groups = Groups::from([
            ("content".into(), strings(&["articles", "tag*"])),
            ("old".into(), strings(&["users", "orders"])),
        ]);
        let chosen = selection.choose(&groups, &strings(&tables), &strings(&["articles_fts_data"]));
        chosen.map_err(|error| {
            assert_eq!(error.exit_code(), crate::ExitCode::Usage);
            error.to_string()
        })
    }

    fn only(names: &[&str]) -> std::result::Result<Vec<String>, String> {
        choose(&Selection::Only(strings(names)))
    }

    fn except(names: &[&str]) -> std::result::Result<Vec<String>, String> {
        choose(&Selection::Except(strings(names)))
    }

    #[test]
    fn tables_are_named_by_name_pattern_or_group_in_any_case() {
        assert_eq!(only(&["users", "ARTICLES"]).unwrap(), ["Articles", "users"]);
        assert_eq!(only(&["TAG*"]).unwrap(), ["tags", "taggings"]);
        assert_eq!(
            only(&["*s", "users"]).unwrap(),
            ["Articles", "tags", "taggings", "users", "articles_fts"]
        );
        assert_eq!(only(&["?sers"]).unwrap(), ["users"]);
        assert_eq!(only(&["@content"]).unwrap(), ["Articles", "tags", "taggings"]);
    }

    #[test]
    fn a_table_whose_name_looks_like_a_pattern_can_be_named() {
        assert_eq!(only(&["a*b"]).unwrap(), ["a*b"]);
    }

    #[test]
    fn the_rest_is_every_table_of_the_application() {
        assert_eq!(
            except(&["users", "a?b"]).unwrap(),
            ["Articles", "tags", "taggings", "articles_fts"]
        );
        assert_eq!(except(&["*"]).unwrap(), [""; 0]);
    }

    #[test]
    fn tables_of_active_record_are_only_chosen_by_name() {
        assert_eq!(only(&["schema_migrations"]).unwrap(), ["schema_migrations"]);
        assert!(only(&["schema_*"]).unwrap_err().contains("names schema_*, but"));
        assert!(!only(&["*"]).unwrap().contains(&"ar_internal_metadata".into()));
    }

    #[test]
    fn a_name_that_means_no_table_is_refused_with_similar_ones() {
        assert_eq!(
            only(&["user"]).unwrap_err(),
            "--only names user, but the database has no such table. Similar names: users"
        );
        assert_eq!(
            except(&["orders"]).unwrap_err(),
            "--except names orders, but the database has no such table. Its tables: schema_migrations, \
             ar_internal_metadata, Articles, tags, taggings, users, a*b, articles_fts"
        );
    }

    #[test]
    fn a_wrong_name_in_a_group_is_refused_with_the_group() {
        let refused = only(&["tags", "@old"]).unwrap_err();
        assert!(refused.starts_with("--only @old names orders, but"), "{refused}");
    }

    #[test]
    fn a_group_that_is_not_defined_is_refused() {
        assert_eq!(
            only(&["@contents"]).unwrap_err(),
            "--only names @contents, but config.hotswap.tables has no such list. Its lists: @content, @old"
        );
    }

    #[test]
    fn parts_of_other_tables_cannot_be_named() {
        for part in ["articles_fts_data", "sqlite_sequence", "_Litestream_seq"] {
            let refused = only(&[part]).unwrap_err();
            assert!(
                refused.contains(&format!("--only names {part}, which")),
                "{refused}"
            );
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_name() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("a**c", "abc", true),
            ("a*c", "abcb", false),
            ("*b*", "abc", true),
            ("?", "ü", true),
            ("Ä", "ä", false),
            ("ab", "abc", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
