//! Exit status 2: the command line is wrong. Nothing was done.

use std::path::PathBuf;

use super::words::{list, TableNames};
use crate::visible::{self, Shown};

/// What is wrong with a command line.
#[derive(Debug, thiserror::Error)]
pub enum Usage {
    /// The words do not make a command.
    #[error("{explanation}")]
    NoCommand { explanation: String },
    /// Several sources need a folder.
    #[error("'{name}' is not a folder. To copy several databases, name an existing folder as the last argument. For more information, try '--help'")]
    NotAFolder { name: String },
    /// Standard input, or an empty argument, among other sources.
    #[error("with several sources, each must be a managed database. Standard input (-) or an empty argument cannot be among them")]
    NotOneOfSeveral,
    /// The copy into a folder would replace a managed database.
    #[error("{target} is a managed database, and a copy into a folder only takes snapshots. To push one file, name this database as the last argument")]
    PushIntoFolder { target: String },
    /// Two sources would have the same name in the folder.
    #[error("{} and {} would both become {target}. Copy them into different folders", sources[0], sources[1])]
    SameTarget { sources: [String; 2], target: String },
    /// A pattern finds no file.
    #[error(
        "no file matches {name}, relative to this folder or to the application's root. Correct the pattern"
    )]
    NothingMatches { name: String },
    /// The caller's folder does not exist any more.
    #[error("the current folder has been deleted. Change to another one (cd /) and use absolute paths")]
    NoFolder,
    /// `--offline` needs an application to learn the databases from.
    #[error(
        "there is no config/application.rb in {}, or in a folder above it. --offline needs a Rails application. \
         Without Rails, call Hotswap::CLI.run in a script that sets Hotswap.database_path",
        folder.shown()
    )]
    NoRailsApplication { folder: PathBuf },
    /// `--offline` in an environment without a database.
    #[error(
        "--offline found no SQLite database for RAILS_ENV={environment}. Set RAILS_ENV as for bin/rails, or name a \
         database in config/database.yml"
    )]
    NoDatabase { environment: String },
    /// SRC or DST is an empty word.
    #[error(
        "{side} is empty, probably because of an unset shell variable. Name a file or a managed database"
    )]
    Empty { side: &'static str },
    /// The source is `-`, and the user would have to type a database.
    #[error(
        "standard input is a terminal. Pipe a database into it: cat new.sqlite3 | hotswap cp - ... If you already do, \
         run docker exec, kubectl exec or ssh without -t"
    )]
    InputIsTerminal,
    /// The destination is `-`, and the database would go to the screen.
    #[error(
        "standard output is a terminal. Redirect it: hotswap cp ... - > backup.sqlite3. If you already do, run docker \
         exec, kubectl exec or ssh without -t"
    )]
    OutputIsTerminal,
    /// SRC is no regular file.
    #[error("{name} is {kind}. {}", source_instead(*kind, name))]
    BadSource { name: String, kind: FileKind },
    /// DST is no regular file.
    #[error("{name} is {kind}. {}", target_instead(*kind))]
    BadTarget { name: String, kind: FileKind },
    /// DST ends with a slash, and there is no such directory.
    #[error(
        "{name} is not a folder. Create it and add the name of a file, or leave out the slash at the end"
    )]
    NoDirectory { name: String },
    /// Both sides are the live database.
    #[error("source and destination are the same file")]
    SameFile,
    /// Standard output is a file of the database that is to be written to it.
    #[error("standard output is a file of the database {} itself. Redirect it to another file", database.shown())]
    OutputIsDatabase { database: PathBuf },
    /// Both sides are managed.
    #[error("source and destination can't both be managed databases")]
    BothManaged,
    /// No side is managed.
    #[error("neither path matches a managed database {}", offer(databases, names))]
    NoneManaged {
        databases: Vec<String>,
        names: Vec<String>,
    },
    /// A push or a rollback of a pattern.
    #[error("a {command} takes one database, and {name} may stand for several. Name one of them, such as {example}")]
    TakesOne {
        command: &'static str,
        name: String,
        example: String,
    },
    /// `hotswap rollback` without a name.
    #[error(
        "hotswap manages several databases. Name the one to roll back: hotswap rollback DATABASE. The databases are {}{}",
        list(databases),
        about_patterns(databases)
    )]
    SeveralManaged { databases: Vec<String> },
    /// One side is a previous version, by its path.
    #[error(
        "{name} is a previous version of the managed database {database}. Name it previous:{database}, or run hotswap rollback \
         {}",
        visible::word(database)
    )]
    VersionOfDatabase { name: String, database: String },
    /// DST is a previous version.
    #[error(
        "{name} is a previous version, and a copy cannot replace it. To replace the database itself, name it without \
         previous:"
    )]
    VersionAsTarget { name: String },
    /// An option of a push with another kind of copy.
    #[error("{option} is for a push, and this is a {command}. Leave it out")]
    OnlyForAPush {
        option: &'static str,
        command: &'static str,
    },
    /// An option of a pull with another kind of copy.
    #[error("{option} is for a pull, and this is a {command}. Leave it out")]
    OnlyForAPull {
        option: &'static str,
        command: &'static str,
    },
    /// A rollback of some tables.
    #[error("{option} is for a push or a pull, and this is a rollback. Leave it out: a rollback undoes what the last push did")]
    NotForARollback { option: &'static str },
    /// Two options that contradict each other.
    #[error("{option} and {other} do not go together: {why}. Leave one of them out")]
    Contradiction {
        option: &'static str,
        other: &'static str,
        why: &'static str,
    },
    /// An option that means nothing without another one.
    #[error(
        "--allow-orphans is for a push of some tables. Name them with --only or --except, or leave it out"
    )]
    OrphansOfAll,
    /// `--only` or `--except` names a table that does not exist.
    #[error("{option} names {pattern}, but the database has no such table. {tables}")]
    NoTable {
        /// With the group that the name is from.
        option: String,
        pattern: String,
        tables: TableNames,
    },
    /// `--except` names every table.
    #[error("{option} leaves no table to push. Name fewer tables")]
    NoTables { option: &'static str },
    /// `--only` or `--except` names a group that does not exist.
    #[error(
        "{option} names @{group}, but config.hotswap.tables has no such list. {}",
        offer_groups(groups)
    )]
    NoGroup {
        option: &'static str,
        group: String,
        groups: Vec<String>,
    },
    /// `--only` or `--except` names a table that comes with another one.
    #[error("{option} names {table}, which SQLite or Litestream keeps for itself. It follows the tables that it belongs to. Leave it out")]
    PartOfTables { option: String, table: String },
    /// `--only` or `--except` of a pull names a full-text index.
    #[error("{option} names {table}, which is an index over {content} and comes along with it. Name {content} instead")]
    IndexOfTable {
        option: String,
        table: String,
        content: String,
    },
    /// A question names a database that is not managed.
    #[error("{name} is not a managed database. The managed databases are {}{}", databases.join(", "), about_patterns(databases))]
    NotManaged { name: String, databases: Vec<String> },
    /// A question names a pattern, and no managed database has such a path.
    #[error("no managed database matches {name}. hotswap manages {}, as far as they exist", databases.join(", "))]
    NoneMatches { name: String, databases: Vec<String> },
    /// A question about a database that may come to exist.
    #[error("{database} does not exist. It matches {pattern}, so a push to it would create it")]
    NotCreated { database: String, pattern: String },
    /// One side is a file that SQLite or hotswap keeps next to a managed database.
    #[error("{name} belongs to the managed database {database} and cannot be copied by itself. Name the database, or another file")]
    PartOfDatabase { name: String, database: String },
}

/// What a path leads to instead of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A pipe.
    Pipe,
    /// A socket.
    Socket,
    /// An open descriptor, such as /dev/stdout.
    Descriptor,
    /// A device.
    Device,
}

impl FileKind {
    /// The kind of a file that is not a regular one.
    pub fn of(file: std::fs::FileType) -> Self {
        use std::os::unix::fs::FileTypeExt;
        match file {
            file if file.is_dir() => FileKind::Directory,
            file if file.is_fifo() => FileKind::Pipe,
            file if file.is_socket() => FileKind::Socket,
            _ => FileKind::Device,
        }
    }
}

impl std::fmt::Display for FileKind {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            FileKind::Directory => "a folder",
            FileKind::Pipe => "a pipe",
            FileKind::Socket => "a socket",
            FileKind::Descriptor => "a descriptor",
            FileKind::Device => "not a regular file",
        })
    }
}

fn source_instead(kind: FileKind, name: &str) -> String {
    match kind {
        FileKind::Directory => "Name the database file in it".into(),
        FileKind::Pipe | FileKind::Descriptor => {
            format!(
                "Read it from standard input: hotswap cp - ... < {}",
                visible::word(name)
            )
        }
        FileKind::Socket | FileKind::Device => "Name an SQLite database".into(),
    }
}

fn target_instead(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Directory => "Add the name of the file to write",
        FileKind::Pipe | FileKind::Socket | FileKind::Descriptor | FileKind::Device => {
            "Pass - to write to standard output"
        }
    }
}

fn offer_groups(groups: &[String]) -> String {
    match groups {
        [] => "Define it in config/initializers/hotswap.rb".into(),
        groups => format!("Its lists: @{}", groups.join(", @")),
    }
}

/// The managed databases, for a user who has named none of them.
fn offer(databases: &[String], names: &[String]) -> String {
    let by_name = match names {
        [] => String::new(),
        names => format!(", or by its name ({})", list(names)),
    };
    format!(
        "({})\nOne side must be one of these: name it by any path that leads to it{by_name}. The name database stands for the first one{}",
        list(databases),
        about_patterns(databases)
    )
}

/// For a list with a pattern, which no command takes for a database.
fn about_patterns(databases: &[String]) -> &'static str {
    match databases.iter().any(|database| database.contains('*')) {
        true => ". A path with * stands for every database that matches it: name one of them",
        false => "",
    }
}
