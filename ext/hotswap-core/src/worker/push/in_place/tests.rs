//! Rows of some tables, while another connection writes.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::json;

use super::backup::Written;
use super::parameters::{Source, Tables};
use super::rows::Rows;
use super::watch::Watch;
use crate::error::{Busy, Error, Refused, Result};
use crate::protocol::Request;
use crate::settings::{Database, Settings};
use crate::worker::client::Client;
use crate::worker::command::Command;
use crate::worker::disk::staged::Staged;
use crate::worker::live::Live;
use crate::worker::sqlite::system::adopt_the_systems_sqlite;
use crate::worker::tables::{choose, Counts, Table};

const SCHEMA: &str = "CREATE TABLE articles (id INTEGER PRIMARY KEY, body);
                      CREATE TABLE comments (id INTEGER PRIMARY KEY, article REFERENCES articles)";

/// A live database, a pushed file, and another connection of the application.
struct Shop {
    _folder: tempfile::TempDir,
    _ends: [UnixStream; 3],
    path: PathBuf,
    client: Client,
    request: Request,
    settings: Settings,
    database: Database,
    application: Connection,
    staged: Staged,
}

impl Shop {
    fn open(journal_mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.sqlite3");
        let application = Connection::open(&path).unwrap();
        let mode = format!("PRAGMA journal_mode = {journal_mode}");
        application.query_row(&mode, [], |_| Ok(())).unwrap();
        let fill = "INSERT INTO articles VALUES (1, 'one'), (2, 'two'), (3, 'three')";
        application.execute_batch(&format!("{SCHEMA}; {fill}")).unwrap();
        let mut staged = Staged::create(&path).unwrap();
        Connection::open(staged.path())
            .unwrap()
            .execute_batch(&format!(
                "{SCHEMA}; INSERT INTO articles VALUES (1, 'one'), (2, 'zwei'), (4, 'vier')"
            ))
            .unwrap();
        staged.remeasure().unwrap();
        let (client, ends) = Client::of_a_test();
        let end = json!({"raw": "live.sqlite3", "stdio": false, "absolute": path, "resolved": path, "identity": null, "absent": false});
        let request =
            json!({"src": end, "dst": end, "skip_integrity_check": false, "skip_schema_check": false});
        let database = json!({"path": path, "label": "live.sqlite3", "name": null, "extensions": []});
        Self {
            _ends: ends,
            client,
            request: serde_json::from_value(request).unwrap(),
            settings: Settings::default(),
            database: serde_json::from_value(database).unwrap(),
            application,
            staged,
            path,
            _folder: folder,
        }
    }

    fn live(&self) -> Live {
        Live::open(&self.path).unwrap().unwrap()
    }

    fn command(&self) -> Command<'_> {
        Command::new(&self.client, &self.request, &self.settings, &self.database)
    }

    fn articles(&self) -> Vec<Table> {
        let file = Connection::open(self.staged.path()).unwrap();
        let only = |_: &[String], _: &[String]| Ok(vec!["articles".to_owned()]);
        choose(only, &self.application, &file, "file", "live").unwrap()
    }

    fn find(&self, live: &Live, keep: bool) -> Result<Rows> {
        let chosen = self.articles();
        let judge = |_: &[Counts]| Ok(());
        let source = Source::Tables(Tables {
            chosen: &chosen,
            judge: &judge,
            in_sticky_folder: false,
        });
        Rows::find(live, &self.staged, source, keep, &self.command(), || Ok(()))
    }

    fn run(&self, sql: &str) {
        self.application.execute_batch(sql).unwrap();
    }

    fn bodies(&self) -> String {
        let all = "SELECT group_concat(body) FROM (SELECT body FROM articles ORDER BY id)";
        self.application.query_row(all, [], |row| row.get(0)).unwrap()
    }

    /// The files next to the live database that are not SQLite's own.
    fn hidden(&self) -> usize {
        let all = std::fs::read_dir(self.path.parent().unwrap()).unwrap();
        let names = all.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".kept")).count()
    }
}

/// Writes the rows. Returns the outcome, and whether the worker went as far as the commit.
fn write(rows: &mut Rows, live: &Live) -> (Result<Written>, bool) {
    let mut commits = false;
    let outcome = rows.write(
        live,
        |_| Ok(()),
        || {
            commits = true;
            Ok(())
        },
    );
    (outcome, commits)
}

const NEW: &str = "one,zwei,vier";
const OLD: &str = "one,two,three";

#[test]
fn a_write_to_one_of_the_tables_is_noticed() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let shop = Shop::open("wal");
    let live = shop.live();
    let watch = || Watch::begin(&live, &shop.articles(), &shop.command()).unwrap();
    let watching = watch();
    assert!(!watching.is_outdated(&live).unwrap());
    // What it has looked at, it does not look at again. A checkpoint in between changes nothing.
    for _ in 0..3 {
        shop.run("INSERT INTO comments (article) VALUES (1); PRAGMA wal_checkpoint");
        assert!(!watching.is_outdated(&live).unwrap());
    }
    shop.run("UPDATE articles SET body = 'changed' WHERE id = 3");
    assert!(watching.is_outdated(&live).unwrap());
    shop.run("INSERT INTO comments (article) VALUES (1)");
    assert!(watching.is_outdated(&live).unwrap(), "it forgot the write");

    let watching = watch();
    shop.run("CREATE TABLE more (a)");
    assert!(
        watching.is_outdated(&live).unwrap(),
        "roots of the trees may have moved"
    );
    // Everything is in the main file, so the WAL starts over.
    drop(watching);
    shop.run("PRAGMA wal_checkpoint(TRUNCATE)");
    let watching = watch();
    shop.run("INSERT INTO comments (article) VALUES (1)");
    assert!(!watching.is_outdated(&live).unwrap());
    shop.run("DELETE FROM articles WHERE id = 1");
    assert!(watching.is_outdated(&live).unwrap());
}

#[test]
fn with_a_rollback_journal_each_write_counts() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let shop = Shop::open("delete");
    let live = shop.live();
    let mut watching = Watch::begin(&live, &shop.articles(), &shop.command()).unwrap();
    watching.is_read();
    assert!(!watching.is_outdated(&live).unwrap());
    shop.run("INSERT INTO comments (article) VALUES (1)");
    assert!(watching.is_outdated(&live).unwrap());
}

#[test]
fn rows_are_written_beside_those_that_others_write_meanwhile() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let shop = Shop::open("wal");
    let live = shop.live();
    let mut rows = shop.find(&live, true).unwrap();
    assert_eq!(shop.hidden(), 0);
    shop.run("INSERT INTO comments (article) VALUES (1)");
    let (outcome, commits) = write(&mut rows, &live);
    assert_eq!((outcome.unwrap(), commits), (Written::Rows(3), true));
    assert_eq!(shop.bodies(), NEW);
    // What undoes it survives a worker that dies now.
    assert_eq!(shop.hidden(), 1);
    assert_eq!(rows.counts()[0].changed, 1);
}

#[test]
fn rows_of_a_state_that_is_over_are_not_written() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    for mode in ["wal", "delete"] {
        let shop = Shop::open(mode);
        let live = shop.live();
        let mut rows = shop.find(&live, true).unwrap();
        shop.run("INSERT INTO articles VALUES (9, 'meanwhile')");
        assert!(matches!(
            rows.require_current(&live),
            Err(Error::Busy(Busy::Written))
        ));
        let (outcome, commits) = write(&mut rows, &live);
        assert_eq!((outcome.unwrap(), commits), (Written::Outdated, false), "{mode}");
        assert_eq!(shop.bodies(), format!("{OLD},meanwhile"));
        // The connection is free for the next attempt.
        rows.detach(&live);
        let mut rows = shop.find(&live, true).unwrap();
        assert_eq!(write(&mut rows, &live).0.unwrap(), Written::Rows(4));
        assert_eq!(shop.bodies(), NEW);
    }
}

/// A comment that comes between the comparison and the lock is the only thing that the second look can find.
#[test]
fn a_row_that_comes_late_and_would_point_to_nothing_refuses_the_write() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let mut shop = Shop::open("wal");
    let live = shop.live();
    let mut rows = shop.find(&live, true).unwrap();
    shop.run("INSERT INTO comments (article) VALUES (3)");
    let (outcome, commits) = write(&mut rows, &live);
    assert!(
        matches!(outcome, Err(Error::Refused(Refused::Orphans { .. }))),
        "{outcome:?}"
    );
    assert!(!commits);
    assert_eq!((shop.bodies(), shop.hidden()), (OLD.into(), 0));
    rows.detach(&live);
    assert!(matches!(
        shop.find(&live, true),
        Err(Error::Refused(Refused::Orphans { .. }))
    ));

    shop.request.allow_orphans = true;
    let live = shop.live();
    let mut rows = shop.find(&live, true).unwrap();
    assert_eq!(write(&mut rows, &live).0.unwrap(), Written::Rows(3));
    assert_eq!(shop.bodies(), NEW);
}

#[test]
fn a_write_that_is_stopped_leaves_nothing() {
    if !adopt_the_systems_sqlite() {
        return;
    }
    let shop = Shop::open("wal");
    let live = shop.live();
    let mut rows = shop.find(&live, true).unwrap();
    let stopped = || Err(Busy::Written.into());
    assert!(rows
        .write(
            &live,
            |part| if part > 0.0 { stopped() } else { Ok(()) },
            || Ok(())
        )
        .is_err());
    assert!(rows.write(&live, |_| Ok(()), stopped).is_err());
    assert_eq!((shop.bodies(), shop.hidden()), (OLD.into(), 0));
    shop.run("INSERT INTO comments (article) VALUES (1)");
}
