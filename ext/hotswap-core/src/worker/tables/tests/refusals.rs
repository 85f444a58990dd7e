//! Tables that cannot be compared or written.

use super::*;

#[test]
fn a_table_that_differs_or_cannot_be_written_is_refused_by_name() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let refused = |live: &str, file: &str, only: &[&str]| -> Option<String> {
        let pair = Pair::new("", "");
        pair.live.execute_batch(live).unwrap();
        pair.file.execute_batch(file).unwrap();
        let refused = pair.choose(only).err()?;
        assert!(matches!(refused, Error::Refused(_)), "{refused}");
        Some(refused.to_string())
    };
    for (live, file, why) in [
        (
            "CREATE TABLE t (a)",
            "CREATE TABLE t (a, b)",
            "only in the file: t.b",
        ),
        ("CREATE TABLE t (a)", "CREATE TABLE u (a)", "only live: t"),
        (
            "CREATE TABLE t (a); CREATE INDEX ta ON t (a)",
            "CREATE TABLE t (a)",
            "only live: ta",
        ),
    ] {
        let refused = refused(live, file, &["t"]).unwrap();
        assert!(refused.contains(why), "{refused}");
    }
    let others = "CREATE TABLE t (a); CREATE VIEW v AS SELECT 1; CREATE TRIGGER tt AFTER DELETE ON t BEGIN SELECT 1; END; CREATE TABLE u (x)";
    assert_eq!(
        refused(others, "CREATE TABLE t (a); CREATE TABLE u (y)", &["t"]),
        None
    );
    for (both, why) in [
        ("CREATE TABLE t (rowid, oid, _rowid_)", "every name of the rowid"),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE VIRTUAL TABLE s USING fts5(a, content='')
             ; CREATE TRIGGER tt AFTER INSERT ON t BEGIN INSERT INTO s (rowid, a) VALUES (new.id, new.a); END",
            "the table s without the whole database",
        ),
        (
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE VIEW w AS SELECT * FROM t; CREATE VIRTUAL TABLE s USING fts5(a, content='w')
             ; CREATE TRIGGER tt AFTER INSERT ON t BEGIN INSERT INTO s (rowid, a) VALUES (new.id, new.a); END",
            "the view w",
        ),
        (
            "CREATE TABLE t (a); CREATE TABLE u (a); CREATE VIRTUAL TABLE s USING fts5(a)
             ; CREATE TRIGGER tt AFTER INSERT ON t BEGIN INSERT INTO s VALUES (new.a); END
             ; CREATE TRIGGER uu AFTER INSERT ON u BEGIN INSERT INTO s VALUES (new.a); END",
            "triggers of u",
        ),
    ] {
        let refused = refused(both, both, &["t"]).unwrap();
        assert!(refused.contains(why), "{refused}");
    }
}
