//! Which side of a copy is a managed database.

use super::*;
use crate::error::Error;

fn endpoint(path: &Path, raw: &str) -> Endpoint {
    Endpoint {
        raw: raw.into(),
        stdio: raw == "-",
        absolute: path.to_owned(),
        resolved: resolve(path),
        identity: std::fs::metadata(path)
            .ok()
            .map(|metadata| Identity::of(&metadata)),
        absent: std::fs::symlink_metadata(path).is_err(),
        is_version: false,
    }
}

fn settings(folder: &Path) -> Settings {
    let database = |file: &str, name: &str| Database {
        path: folder.join(file),
        label: file.into(),
        name: Some(name.into()),
        ..Database::default()
    };
    Settings {
        databases: vec![
            database("live.sqlite3", "primary"),
            database("queue.sqlite3", "queue"),
        ],
        ..Settings::default()
    }
}

#[test]
fn a_star_in_the_name_of_the_root_makes_no_pattern() {
    let root = Path::new("/srv/my*app");
    let expanded = settings(root).expand(&[]);
    let paths: Vec<_> = expanded.databases.iter().map(|one| &*one.path).collect();
    assert_eq!(paths, [root.join("live.sqlite3"), root.join("queue.sqlite3")]);
}

#[test]
fn a_database_is_found_by_any_path_that_leads_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    std::fs::write(folder.path().join("live.sqlite3"), b"").unwrap();
    std::os::unix::fs::symlink("live.sqlite3", folder.path().join("link")).unwrap();
    for name in ["live.sqlite3", "link", "./live.sqlite3"] {
        let found = settings.find(&endpoint(&folder.path().join(name), name)).unwrap();
        assert_eq!(found.name.as_deref(), Some("primary"), "{name}");
    }
    let missing = endpoint(&folder.path().join("queue.sqlite3"), "queue.sqlite3");
    assert_eq!(settings.find(&missing).unwrap().name.as_deref(), Some("queue"));
}

#[test]
fn a_database_that_was_swapped_since_the_client_looked_is_found_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let live = folder.path().join("live.sqlite3");
    std::fs::write(&live, b"old").unwrap();
    let seen = endpoint(&live, "live.sqlite3");
    std::fs::write(folder.path().join("staged"), b"new").unwrap();
    std::fs::rename(folder.path().join("staged"), &live).unwrap();
    assert_eq!(settings.find(&seen).unwrap().name.as_deref(), Some("primary"));
}

#[test]
fn names_stand_for_databases_where_no_such_file_exists() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    for (name, expected) in [
        ("database", "primary"),
        ("primary", "primary"),
        ("queue", "queue"),
    ] {
        let found = settings.find(&endpoint(&folder.path().join(name), name)).unwrap();
        assert_eq!(found.name.as_deref(), Some(expected));
    }
    std::fs::write(folder.path().join("queue"), b"a file of that name").unwrap();
    assert!(settings
        .find(&endpoint(&folder.path().join("queue"), "queue"))
        .is_none());
}

#[test]
fn the_files_of_a_database_are_neither_source_nor_target() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("live.sqlite3-journal", at("to-a-journal-to-be")).unwrap();
    for name in ["-wal", "-shm", ".hotswap"] {
        std::fs::write(at(&format!("queue.sqlite3{name}")), b"").unwrap();
    }
    std::os::unix::fs::symlink("queue.sqlite3-shm", at("link")).unwrap();
    std::fs::hard_link(at("queue.sqlite3-wal"), at("second-name")).unwrap();
    let parts = [
        "live.sqlite3-wal",
        "live.sqlite3-journal",
        "live.sqlite3.hotswap",
        "queue.sqlite3-wal",
        "queue.sqlite3-shm",
        "queue.sqlite3.hotswap",
        "to-a-journal-to-be",
        "link",
        "second-name",
    ];
    let managed = endpoint(&at("live.sqlite3"), "live.sqlite3");
    for name in parts {
        let part = endpoint(&at(name), name);
        for refused in [settings.route(&managed, &part), settings.route(&part, &managed)] {
            let why = refused.unwrap_err();
            assert!(
                matches!(&why, Error::Usage(Usage::PartOfDatabase { .. })),
                "{name}: {why}"
            );
        }
    }
    for other in ["other.sqlite3-wal", "live.sqlite3-2", "live.sqlite3.hotswap-2"] {
        assert!(
            settings.route(&managed, &endpoint(&at(other), other)).is_ok(),
            "{other}"
        );
    }
}

#[test]
fn a_link_that_leads_nowhere_yet_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("storage/new.sqlite3", folder.join("link")).unwrap();
    std::os::unix::fs::symlink("circle", folder.join("circle")).unwrap();
    assert_eq!(resolve(&folder.join("link")), folder.join("storage/new.sqlite3"));
    assert_eq!(resolve(&folder.join("circle")), folder.join("circle"));
}

#[test]
fn a_relative_path_that_leads_nowhere_is_tried_from_the_root() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let settings = Settings {
        root: root.path().to_owned(),
        ..settings(root.path())
    };
    let side = |name: &str| endpoint(&elsewhere.path().join(name), name);
    assert!(matches!(
        settings.route(&side("live.sqlite3"), &side("copy")),
        Ok((Direction::Pull, _))
    ));
    assert!(matches!(
        settings.route(&side("new"), &side("./queue.sqlite3")),
        Ok((Direction::Push, _))
    ));
    // A link in the user's folder that leads nowhere is what the user means, and not the database of that name.
    std::os::unix::fs::symlink("unmounted/new.sqlite3", elsewhere.path().join("queue.sqlite3")).unwrap();
    assert!(settings.route(&side("queue.sqlite3"), &side("copy")).is_err());
    std::fs::remove_file(elsewhere.path().join("queue.sqlite3")).unwrap();
    // A file in the user's folder is no managed database, even if it has the name of one.
    std::fs::write(elsewhere.path().join("live.sqlite3"), b"a copy").unwrap();
    assert!(settings.route(&side("live.sqlite3"), &side("copy")).is_err());
    assert!(matches!(
        settings.route(&side("primary"), &side("queue.sqlite3")),
        Ok((Direction::Pull, _))
    ));
}

#[test]
fn exactly_one_side_must_be_managed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let side = |name: &str| endpoint(&folder.path().join(name), name);
    assert!(matches!(
        settings.route(&side("new"), &side("live.sqlite3")),
        Ok((Direction::Push, _))
    ));
    assert!(matches!(
        settings.route(&side("live.sqlite3"), &side("-")),
        Ok((Direction::Pull, _))
    ));
    let both = settings
        .route(&side("live.sqlite3"), &side("queue"))
        .unwrap_err()
        .to_string();
    assert_eq!(both, "source and destination can't both be managed databases");
    let neither = settings.route(&side("a"), &side("b")).unwrap_err().to_string();
    let folder = folder.path().display();
    assert_eq!(
        neither.lines().next(),
        Some(&*format!(
            "neither path matches a managed database ({folder}/live.sqlite3, {folder}/queue.sqlite3)"
        ))
    );
    assert!(neither.contains("by its name (primary, queue)"), "{neither}");
}
