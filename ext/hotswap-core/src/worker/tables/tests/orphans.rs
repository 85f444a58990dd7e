//! Rows that would point to nothing.

use super::*;

/// The rows that a push of these tables would leave pointing to nothing: how many, and the first example.
fn orphans(live: &str, file: &str, only: &[&str]) -> Vec<(String, u64, String)> {
    orphans_of(ARTICLES, live, file, only)
}

const ARTICLES: &str =
    "CREATE TABLE articles (id INTEGER PRIMARY KEY, slug TEXT UNIQUE, parent REFERENCES articles, body);
         CREATE TABLE comments (id INTEGER PRIMARY KEY, article_id INTEGER REFERENCES articles (id), body);
         CREATE INDEX by_article ON comments (article_id);
         CREATE TABLE links (slug REFERENCES articles (slug), note);
         CREATE TABLE pairs (a, b, PRIMARY KEY (a, b));
         CREATE TABLE of_pairs (k TEXT PRIMARY KEY, x, y, FOREIGN KEY (x, y) REFERENCES pairs);
         CREATE TABLE lost (a REFERENCES never)";

fn orphans_of(schema: &str, live: &str, file: &str, only: &[&str]) -> Vec<(String, u64, String)> {
    let pair = Pair::new("", "");
    pair.live.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    pair.both(schema);
    pair.live.execute_batch(live).unwrap();
    pair.file.execute_batch(file).unwrap();
    let difference = pair.find(only).unwrap();
    difference.attach(&pair.live).unwrap();
    let risks = difference.risks(&pair.live, Direction::Forward).unwrap();
    let ask = || {
        let found = risks.iter().map(|risk| risk.orphans(&pair.live).unwrap());
        found.flatten().collect::<Vec<_>>()
    };
    let found = ask();
    pair.live.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(ask(), found);
    // SQLite itself counts no others.
    let count = || {
        let mut query = pair.live.prepare("PRAGMA foreign_key_check").unwrap();
        let rows = query.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let mut tables: Vec<String> = rows.collect::<rusqlite::Result<_>>().unwrap();
        tables.retain(|table| table != "lost");
        tables.len() as u64
    };
    let before = count();
    difference
        .apply(&pair.live, Direction::Forward, |_| Ok(()))
        .unwrap();
    let made: u64 = found.iter().map(|orphans| orphans.count).sum();
    assert!(
        count() <= before + made && (before > 0 || count() == made),
        "{found:?}"
    );
    let of = |orphans: Orphans| (orphans.table, orphans.count, orphans.examples[0].clone());
    found.into_iter().map(of).collect()
}

#[test]
fn rows_that_would_point_to_nothing_are_found() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let three = "INSERT INTO articles (id, slug) VALUES (1, 'one'), (2, 'two'), (3, 'three');";
    let two = "INSERT INTO articles (id, slug) VALUES (1, 'one'), (3, 'three');";
    let one = |table: &str, count: u64, example: &str| vec![(table.to_owned(), count, example.to_owned())];
    // A kept comment on an article that is gone; one on no article.
    let comments = "INSERT INTO comments VALUES (17, 2, 'x'), (18, 1, 'y'), (19, NULL, 'z')";
    assert_eq!(
        orphans(&format!("{three} {comments}"), two, &["articles"]),
        one("comments", 1, "id 17 (article_id 2)")
    );
    // One that pointed to nothing before.
    let dangling = "INSERT INTO comments VALUES (17, 99, 'x')";
    assert_eq!(
        orphans(&format!("{three} {dangling}"), two, &["articles"]),
        vec![]
    );
    // By a unique column, of a table that has no key.
    let renamed = "INSERT INTO articles (id, slug) VALUES (1, 'one'), (2, 'zwei'), (3, 'three');";
    let links = "INSERT INTO links VALUES ('two', 1), ('two', 2), ('one', 3)";
    assert_eq!(
        orphans(&format!("{three} {links}"), renamed, &["articles"]),
        one("links", 2, "rowid 1 (slug two)")
    );
    // Both tables come, and fit.
    assert_eq!(
        orphans(
            &format!("{three} {comments}"),
            &format!("{two} INSERT INTO comments VALUES (17, 1, 'x'), (20, 3, 'y')"),
            &["articles", "comments"]
        ),
        vec![]
    );
    // Both come, and do not.
    assert_eq!(
        orphans(
            three,
            &format!("{two} INSERT INTO comments VALUES (17, 1, 'x'), (20, 2, 'y')"),
            &["articles", "comments"]
        ),
        one("comments", 1, "id 20 (article_id 2)")
    );
    // A row that stays as it is, in a table that comes.
    assert_eq!(
        orphans(
            &format!("{three} {comments}"),
            &format!("{two} INSERT INTO comments VALUES (17, 2, 'x'), (18, 3, 'new')"),
            &["articles", "comments"]
        ),
        one("comments", 1, "id 17 (article_id 2)")
    );
    // Only the pointing rows come.
    assert_eq!(
        orphans(
            &format!("{two} INSERT INTO comments VALUES (1, 7, 'x'), (2, 1, 'y')"),
            "INSERT INTO comments VALUES (1, 7, 'changed'), (2, 8, 'y'), (3, 3, 'y')",
            &["comments"]
        ),
        one("comments", 1, "id 2 (article_id 8)")
    );
    // Within one table.
    assert_eq!(
        orphans(
            &format!("{three} UPDATE articles SET parent = 2 WHERE id = 3"),
            &format!("{two} UPDATE articles SET parent = 2 WHERE id = 3"),
            &["articles"]
        ),
        one("articles", 1, "id 3 (parent 2)")
    );
    // Two columns.
    assert_eq!(
        orphans(
            "INSERT INTO pairs VALUES (1, 2), (2, 1); INSERT INTO of_pairs VALUES ('k', 1, 2), ('l', 2, 1), ('m', 1, NULL)",
            "INSERT INTO pairs VALUES (1, 2), (1, 1)",
            &["pairs"]
        ),
        one("of_pairs", 1, "k l (x 2, y 1)")
    );
}

/// SQLite compares the columns of a foreign key as those of the parent compare values.
#[test]
fn a_pointer_of_another_type_or_collation_than_the_key_is_followed() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for (key, pointer, live, file, orphan) in [
        // Texts that are the same number, and the other way round.
        ("INTEGER PRIMARY KEY", "TEXT", "'2', '02'", "2", None),
        ("INTEGER PRIMARY KEY", "TEXT", "'2', '3'", "2", Some("id 2 (p 3)")),
        ("TEXT PRIMARY KEY", "INTEGER", "2", "'2'", None),
        ("TEXT PRIMARY KEY", "INTEGER", "2", "'3'", Some("id 1 (p 2)")),
        ("NUMERIC UNIQUE", "", "'2', 2.0", "2", None),
        ("BLOB UNIQUE", "TEXT", "'2'", "2", Some("id 1 (p 2)")),
        // Another spelling comes, or stays.
        (
            "TEXT COLLATE NOCASE UNIQUE",
            "TEXT",
            "'Bread', 'BREAD'",
            "'breaD'",
            None,
        ),
        (
            "TEXT COLLATE NOCASE UNIQUE",
            "TEXT",
            "'Bread', 'BREAD'",
            "'butter'",
            Some("id 1 (p Bread)"),
        ),
        (
            "TEXT UNIQUE",
            "TEXT COLLATE NOCASE",
            "'Bread'",
            "'bread'",
            Some("id 1 (p Bread)"),
        ),
    ] {
        for only in [&["t"][..], &["t", "c"], &["c"]] {
            let of_live = live.split(", ").collect::<Vec<_>>().join("), (");
            let comments = format!("INSERT INTO c (p) VALUES ({of_live})");
            // The key before, as the first comment has it.
            let first = live.split(", ").next().unwrap();
            let before = format!("INSERT OR IGNORE INTO t (k) VALUES ({of_live}), ({first});");
            let after = format!("INSERT INTO t (k) VALUES ({file});");
            let schema = format!("CREATE TABLE t (k {key}, a); CREATE TABLE c (id INTEGER PRIMARY KEY, p {pointer} REFERENCES t (k), a)");
            let found = match only {
                // Only the comments come, and the articles are those of the file.
                ["c"] => orphans_of(&schema, &after, &format!("{before} {comments}"), only),
                ["t"] => orphans_of(&schema, &format!("{before} {comments}"), &after, only),
                // The comments are the same in the file, or changed.
                _ => orphans_of(
                    &schema,
                    &format!("{before} {comments}"),
                    &format!("{after} {comments}; UPDATE c SET a = 1 WHERE id = 2"),
                    only,
                ),
            };
            let example = found.first().map(|(_, _, example)| example.as_str());
            assert_eq!(
                example, orphan,
                "{key} from {pointer}: {live} to {file}, {only:?}"
            );
        }
    }
}
