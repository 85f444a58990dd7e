//! In which direction a difference fits.

use super::*;

#[test]
fn a_difference_knows_in_which_direction_it_fits() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for kind in [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a, b)",
        "CREATE TABLE t (id TEXT PRIMARY KEY, a, b) WITHOUT ROWID",
    ] {
        let pair = Pair::new("", "");
        pair.both(kind);
        pair.both("CREATE TABLE u (x)");
        pair.live
            .execute_batch("INSERT INTO t VALUES (1, 1, NULL), (2, 2, NULL), (3, 3, NULL), (4, 4, NULL)")
            .unwrap();
        pair.file
            .execute_batch("INSERT INTO t VALUES (1, 1, NULL), (2, 2.0, NULL), (3, 4, 5), (5, 5, 5)")
            .unwrap();
        let difference = pair.find(&["t"]).unwrap();
        let fit = || {
            difference.attach(&pair.live).unwrap();
            let fit = difference.direction(&pair.live).unwrap();
            difference.detach(&pair.live).unwrap();
            fit
        };
        assert_eq!(fit(), Fit::Applies(Direction::Forward));
        pair.apply(&difference, Direction::Forward);
        assert_eq!(fit(), Fit::Applies(Direction::Back));
        // A row that both versions have does not count.
        pair.live
            .execute_batch(
                "UPDATE t SET a = 9 WHERE id = 1; INSERT INTO u VALUES (1); INSERT INTO t VALUES (9, 9, 9)",
            )
            .unwrap();
        assert_eq!(fit(), Fit::Applies(Direction::Back));
        pair.live
            .execute_batch("UPDATE t SET a = 2 WHERE id = 2")
            .unwrap();
        assert_eq!(fit(), Fit::Changed(vec![("t".into(), 1)]));
        pair.live.execute_batch("DELETE FROM t WHERE id = 5").unwrap();
        pair.live.execute_batch("INSERT INTO t VALUES (4, 4, 4)").unwrap();
        assert_eq!(fit(), Fit::Changed(vec![("t".into(), 2)]));
        pair.live.execute_batch("ALTER TABLE t ADD COLUMN c").unwrap();
        assert_eq!(difference.other_schema(&pair.live).unwrap(), Some("t".into()));
    }
}
