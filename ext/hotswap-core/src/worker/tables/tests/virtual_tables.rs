//! Full-text indexes and R-trees that belong to a table.

use super::*;

const SEARCHES: [&str; 5] = [
    "CREATE VIRTUAL TABLE s USING fts5(a, b, content='t', content_rowid='id')",
    "CREATE VIRTUAL TABLE s USING fts5(c, a, content='t', content_rowid='number')",
    "CREATE VIRTUAL TABLE s USING fts4(a, b, content='t')",
    "CREATE VIRTUAL TABLE s USING fts5(a, b UNINDEXED, prefix='2 3')",
    "CREATE VIRTUAL TABLE s USING fts4(a, b)",
];

/// The triggers that keep a full-text index right, as an application has them.
fn triggers(search: &str) -> String {
    let (rowid, columns) = match () {
        () if search.contains("number") => ("number", ["c", "a"]),
        () => ("id", ["a", "b"]),
    };
    let list = |prefix: &str| columns.map(|column| format!("{prefix}{column}")).join(", ");
    let id = if search.contains("fts5") { "rowid" } else { "docid" };
    let insert = format!(
        "INSERT INTO s ({id}, {}) VALUES (new.{rowid}, {});",
        list(""),
        list("new.")
    );
    let delete = match search.contains("fts5") && search.contains("content") {
        true => format!(
            "INSERT INTO s (s, rowid, {}) VALUES ('delete', old.{rowid}, {});",
            list(""),
            list("old.")
        ),
        false => format!("DELETE FROM s WHERE {id} = old.{rowid};"),
    };
    // An index with the content of a table finds its columns there, so the old row has to be there still. FTS4's own
    // check wants every row in such an index.
    let text = format!(
        "CREATE TRIGGER t1 AFTER INSERT ON t WHEN new.a <> 'hidden' BEGIN {insert} END;
         CREATE TRIGGER t2 BEFORE DELETE ON t WHEN old.a <> 'hidden' BEGIN {delete} END;
         CREATE TRIGGER t3 BEFORE UPDATE ON t WHEN old.a <> 'hidden' BEGIN {delete} END;
         CREATE TRIGGER t4 AFTER UPDATE ON t WHEN new.a <> 'hidden' BEGIN {insert} END"
    );
    match search.contains("fts4") {
        true => text.replace("<> 'hidden'", "NOT NULL"),
        false => text,
    }
}

/// Writes rows as the application does, so that the triggers fire.
fn write_articles(connection: &Connection, random: &mut Random, count: u64) {
    let words = ["apple", "pear", "plum", "cherry", "quince", "hidden"];
    for _ in 0..count {
        let (id, number) = (random.below(40) as i64, random.below(1000) as i64);
        let mut text = || {
            let length = 1 + random.below(6);
            let text = (0..length).map(|_| words[random.below(6) as usize]);
            text.collect::<Vec<_>>().join(" ")
        };
        let (a, b) = (text(), text());
        match random.below(4) {
            0 => connection.execute("DELETE FROM t WHERE id = ?1", [id]),
            1 => connection.execute("UPDATE OR IGNORE t SET b = ?2 WHERE id = ?1", (id, b)),
            _ => connection.execute(
                "INSERT INTO t (id, number, a, b) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM t WHERE id = ?1 OR number = ?2)",
                (id, number, a, b),
            ),
        }
        .unwrap();
    }
}

/// What the index finds for each word, and its own check.
fn found(connection: &Connection, search: &str) -> Vec<String> {
    let id = if search.contains("fts5") { "rowid" } else { "docid" };
    let mut query = connection
        .prepare(&format!(
            "SELECT word || ' ' || (SELECT group_concat(n) FROM (SELECT {id} AS n FROM s WHERE s MATCH word ORDER BY 1))
             FROM (SELECT 'apple' AS word UNION ALL SELECT 'pear' UNION ALL SELECT 'plum' UNION ALL SELECT 'qui*' UNION ALL SELECT 'hidden')"
        ))
        .unwrap();
    let rows = query
        .query_map([], |row| row.get::<_, Option<String>>(0))
        .unwrap();
    let rows: Vec<_> = rows.map(|row| row.unwrap().unwrap_or_default()).collect();
    let check = connection.execute_batch("INSERT INTO s (s) VALUES ('integrity-check')");
    check.unwrap_or_else(|error| panic!("{search}: {error}"));
    rows
}

#[test]
fn full_text_indexes_come_along() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for (nth, search) in SEARCHES.iter().enumerate() {
        for encoding in ["UTF-8", "UTF-16le"] {
            let mut random = Random(77 + nth as u64);
            let pair = Pair::new(&format!("PRAGMA encoding = '{encoding}'"), "");
            pair.both("CREATE TABLE t (id INTEGER PRIMARY KEY, number UNIQUE, a TEXT, b TEXT, c AS (b || ' ' || a)); CREATE TABLE users (id)");
            pair.both(search);
            pair.both(&triggers(search));
            write_articles(&pair.live, &mut random, 60);
            pair.file
                .execute("ATTACH ?1 AS live", [pair.path().to_str().unwrap()])
                .ok();
            let _ = pair.file.execute_batch(
                "INSERT INTO t (id, number, a, b) SELECT id, number, a, b FROM live.t; DETACH live",
            );
            write_articles(&pair.file, &mut random, 30);
            let state = |connection: &Connection| {
                (
                    rows(connection, "t", "id, number, a, b, c"),
                    found(connection, search),
                )
            };
            let before = state(&pair.live);
            let difference = pair.find(&["t"]).unwrap();
            assert!(!difference.is_empty());
            pair.apply(&difference, Direction::Forward);
            assert_eq!(found(&pair.live, search), found(&pair.file, search), "{search}");
            let columns = "id, number, a, b, c";
            assert!(
                rows(&pair.live, "t", columns) == wanted(&pair, "t", columns),
                "{search}"
            );
            is_sound(&pair.live);
            assert!(pair.find(&["t"]).unwrap().is_empty(), "{search}");
            // The application goes on.
            let undone = difference.into_staged();
            let difference = Difference::open(undone).unwrap();
            pair.apply(&difference, Direction::Back);
            assert_eq!(state(&pair.live), before, "{search}");
            write_articles(&pair.live, &mut random, 20);
            found(&pair.live, search);
            is_sound(&pair.live);
        }
    }
}

#[test]
fn an_r_tree_that_a_trigger_writes_comes_along() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let pair = Pair::new("", "");
    pair.both(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL); CREATE TABLE users (id);
         CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, +note);
         CREATE TRIGGER t1 AFTER INSERT ON t BEGIN INSERT INTO boxes VALUES (new.id, new.x, new.x + 1, 'n' || new.id); END;
         CREATE TRIGGER t2 AFTER UPDATE ON t BEGIN UPDATE boxes SET x0 = new.x, x1 = new.x + 1 WHERE id = new.id; END;
         CREATE TRIGGER t3 AFTER DELETE ON t BEGIN DELETE FROM boxes WHERE id = old.id; END",
    );
    let numbers = "WITH n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)";
    pair.both(&format!("INSERT INTO t {numbers} SELECT i, i / 3.0 FROM n"));
    pair.file
        .execute_batch("UPDATE t SET x = x + 7 WHERE id % 10 = 0; DELETE FROM t WHERE id % 7 = 0; INSERT INTO t VALUES (999, 1.1)")
        .unwrap();
    let state = |connection: &Connection| {
        (
            rows(connection, "t", "id, x"),
            rows(connection, "boxes", "id, x0, x1, note"),
        )
    };
    let before = state(&pair.live);
    let names: Vec<_> = pair
        .choose(&["t"])
        .unwrap()
        .iter()
        .map(|table| table.name().to_owned())
        .collect();
    assert_eq!(names, ["t", "boxes"]);
    let difference = pair.find(&["t"]).unwrap();
    pair.apply(&difference, Direction::Forward);
    assert!(state(&pair.live) == state(&pair.file));
    is_sound(&pair.live);
    pair.apply(&difference, Direction::Back);
    assert!(state(&pair.live) == before);
    is_sound(&pair.live);
}
