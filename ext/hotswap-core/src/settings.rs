//! What the leader tells a worker about the application: its databases and its settings.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Refused, Result, Unredactable, Usage};
use crate::in_place::InPlace;
use crate::path::resolve;
use crate::percent::Percent;
use crate::redaction_rules::{PullKind, Rule, Script};
use crate::selection::Groups;

/// The databases and the settings of one application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The managed databases, the first one first. Before [`Settings::expand`], one may be a pattern.
    pub databases: Vec<Database>,
    /// What the application has registered: databases and patterns.
    #[serde(skip)]
    pub(crate) registered: Vec<Database>,
    /// How many databases and patterns were registered when the application had booted. The others came later.
    #[serde(default)]
    pub at_boot: Option<usize>,
    /// The path of the socket; absolute.
    #[serde(default, with = "crate::path")]
    pub socket: PathBuf,
    /// The application's root, or empty if it is unknown.
    #[serde(default, with = "crate::path")]
    pub root: PathBuf,
    /// How long requests may be held up at a time, in milliseconds.
    pub max_pause_ms: u64,
    /// How long a swap may take from its first attempt on, in milliseconds.
    pub timeout_ms: u64,
    /// Whether copying and checking run at a low priority.
    pub low_priority: bool,
    /// Whether a push may write into the live file, unless the user chooses otherwise.
    pub in_place: InPlace,
    /// The Ruby program that gets a URL for a probe.
    #[serde(default, with = "crate::path")]
    pub probe_program: PathBuf,
    /// Whether the application has a block that probes a new database.
    #[serde(default)]
    pub probe: bool,
    /// How long a probe may take, in milliseconds.
    #[serde(default)]
    pub probe_timeout_ms: u64,
    /// How many of its rows each table may lose in a push, unless the user chooses otherwise.
    #[serde(default)]
    pub max_shrink: Option<Percent>,
    /// How many previous versions stay next to a database.
    #[serde(default = "one")]
    pub keep: u32,
    /// Lists of tables that a user names by `@name`.
    #[serde(default)]
    pub tables: Groups,
    /// What clients may pull.
    #[serde(default)]
    pub pull: PullKind,
    /// What a redacted pull leaves out or replaces.
    #[serde(default)]
    pub redact: Vec<Rule>,
    /// What runs on a redacted copy after that.
    #[serde(default)]
    pub redact_with: Vec<Script>,
}

fn one() -> u32 {
    1
}

/// A managed database, or the pattern of several.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// The absolute path, as configured; symlinks are not resolved.
    #[serde(with = "crate::path")]
    pub path: PathBuf,
    /// The path as people write it: relative to the application's root if that is shorter.
    pub label: String,
    /// Its name in database.yml, "primary", or none.
    pub name: Option<String>,
    /// The extensions that the application loads into its connections.
    pub extensions: Vec<String>,
    /// The reason if hotswap has to leave the database alone: the application opens it past SQLite's locks.
    #[serde(default)]
    pub objection: Option<String>,
    /// The label of the pattern that has found the database.
    #[serde(skip)]
    pub pattern: Option<String>,
    /// Its place, or that of its pattern, in what the application has registered.
    #[serde(skip)]
    pub(crate) place: usize,
}

impl Settings {
    /// How long requests may be held up at a time.
    pub fn max_pause(&self) -> Duration {
        Duration::from_millis(self.max_pause_ms)
    }

    /// How long a swap may take from its first attempt on.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// What a redacted pull of `database` leaves out or replaces.
    pub fn redaction_of(&self, database: &Database) -> Result<(Vec<&Rule>, Vec<&Script>)> {
        let rules = self.redact.iter().map(|rule| &rule.database);
        let named = rules.chain(self.redact_with.iter().map(|script| &script.database));
        for name in named.flatten() {
            if !self
                .registered()
                .iter()
                .any(|one| one.name.as_ref() == Some(name))
            {
                let name = name.clone();
                return Err(Refused::from(Unredactable::NoDatabase { name }).into());
            }
        }
        let registered = &self.registered()[database.place];
        let is_for = |name: &Option<String>| match name {
            Some(_) => *name == registered.name,
            None => database.place == 0,
        };
        Ok((
            self.redact.iter().filter(|rule| is_for(&rule.database)).collect(),
            self.redact_with
                .iter()
                .filter(|script| is_for(&script.database))
                .collect(),
        ))
    }

    /// The name that rules for `database` have to have: that of its pattern, if it matches one. Rules for the first
    /// database need none.
    pub fn name_in_rules(&self, database: &Database) -> Option<String> {
        let registered = &self.registered()[database.place];
        registered.name.clone().filter(|_| database.place > 0)
    }

    /// What the application has registered: databases and patterns.
    pub fn registered(&self) -> &[Database] {
        match &*self.registered {
            [] => &self.databases,
            registered => registered,
        }
    }

    /// The paths of all databases, with every symlink resolved.
    pub fn resolved(&self) -> Vec<PathBuf> {
        self.databases.iter().map(Database::resolved).collect()
    }
}

impl Database {
    /// The path with every symlink resolved. SQLite puts its files next to that one. The file itself may be missing.
    pub fn resolved(&self) -> PathBuf {
        resolve(&self.path)
    }

    /// Refuses a database of a pattern that does not exist: without the file, nothing says that there is such a
    /// database at all.
    pub fn require_created(&self) -> Result<()> {
        match &self.pattern {
            Some(pattern) if !self.path.exists() => Err(Usage::NotCreated {
                database: self.label.clone(),
                pattern: pattern.clone(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Refuses a database that hotswap has to leave alone.
    pub fn require_managed(&self) -> Result<()> {
        match &self.objection {
            None => Ok(()),
            Some(objection) => Err(Refused::NotManaged {
                database: self.label.clone(),
                objection: objection.clone(),
            }
            .into()),
        }
    }
}
