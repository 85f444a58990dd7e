//! The command line as it is typed. The comments here are the help that users read.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::content_id::ContentId;
use crate::in_place::InPlace;
use crate::percent::Percent;
use crate::protocol::previous_of;
use crate::selection::Selection;

/// Copy SQLite databases into and out of a running application, without a restart
#[derive(Debug, Parser)]
#[command(name = "hotswap", bin_name = "hotswap", version, help_template = help(), after_help = AFTER_HELP)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// The commands with their arguments. Clap would list only their names.
pub(super) const COMMANDS: &str = "\
Commands:
  cp SRC DST           Copy a database to or from the running application
  rollback [DATABASE]  Go back to the previous version of a database
  status [DATABASE]    Show the databases, their processes, and what runs now
  log [DATABASE]       Show past pushes, pulls and rollbacks
  version              Print the version
  help                 Print help for a command";

fn help() -> String {
    format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{COMMANDS}\n\nOptions:\n{{options}}{{after-help}}")
}

const AFTER_HELP: &str = "\
Exit status:
  0  done, and durable
  1  no server answers at the socket
  2  the command line is wrong
  3  refused: this copy cannot work as it is; nothing changed
  4  busy: something was in the way at this moment; nothing changed, try again
  5  something broke; the database is whole, old or new, unless the error says otherwise
  6  changed: the database no longer has the content that --if-match names; nothing changed
  7  rolled back: the probe failed; the previous version is back in use";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Copy a database to or from the running application
    ///
    /// One side is a managed database. Use its name in database.yml, any path that leads to it, or `database` for
    /// the first one. The other side is a file, or - for standard input or output.
    ///
    /// A push (SRC is the file) stages the file next to the live database, checks it, and swaps it in for every process
    /// of the application at once. A pull (DST is the file) writes one consistent snapshot. previous:DATABASE is the
    /// version that the last push replaced.
    #[command(after_help = CP_EXAMPLES)]
    Cp(Cp),
    /// Go back to the previous version of a database
    ///
    /// A push keeps the version that it replaces, as DATABASE.previous. This command swaps it in for every process of
    /// the application at once, and keeps what it replaces. So a second rollback undoes the first.
    Rollback(Rollback),
    /// Show the databases, their processes, and what runs now
    ///
    /// It changes nothing and delays no request.
    Status(Status),
    /// Show past pushes, pulls and rollbacks
    ///
    /// One line for each, the newest last. Commands that were refused or failed are listed too.
    Log(Log),
    /// Print the version
    Version,
}

const CP_EXAMPLES: &str = "\
Examples:
  bin/hotswap cp ./new.sqlite3 db/production.sqlite3
  bin/hotswap cp db/production.sqlite3 ./backup.sqlite3
  cat new.sqlite3 | ssh server 'cd app && bin/hotswap cp - db/production.sqlite3'
  bin/hotswap cp content.sqlite3 primary --only articles,'tag*'
  bin/hotswap cp primary dev.sqlite3 --redacted
  bin/hotswap cp primary queue 'storage/tenants/*/main.sqlite3' backups/";

#[derive(Args, Clone, Debug, Default)]
pub(super) struct Cp {
    /// Source: a file, a managed database, or - for standard input. Several databases, or a pattern in quotes, if DST
    /// is a folder
    #[arg(required = true)]
    pub src: Vec<OsString>,
    /// Destination: a managed database, a file, a folder, or - for standard output
    pub dst: OsString,
    /// Push without PRAGMA integrity_check (hotswap still checks the header, the length and the transfer)
    #[arg(long)]
    pub skip_integrity_check: bool,
    /// Push even if the tables, indexes, views or triggers differ, or the file has no rows
    #[arg(long)]
    pub skip_schema_check: bool,
    /// Push only if the database still has the content for which a pull printed this identity. Otherwise exit with 6
    #[arg(long, value_name = "ID")]
    pub if_match: Option<ContentId>,
    /// Swap nothing if the database already has the content of the file
    #[arg(long)]
    pub if_changed: bool,
    /// Do everything up to the swap, swap nothing, and print what the push would do
    #[arg(long)]
    pub dry_run: bool,
    /// Refuse a push if any table would lose more of its rows than this, such as 50% [default:
    /// config.hotswap.max_shrink]
    #[arg(long, value_name = "PERCENT")]
    pub max_shrink: Option<Percent>,
    /// Copy only these tables: names, patterns such as 'tag*', or @NAME of config.hotswap.tables, separated by commas.
    /// A push leaves all other tables as they are. In a pull they are empty
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = table, conflicts_with = "except")]
    pub only: Option<Vec<String>>,
    /// Copy all tables but these, named as with --only
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = table)]
    pub except: Option<Vec<String>>,
    /// With --only or --except: push even if rows then point to rows that are missing
    #[arg(long)]
    pub allow_orphans: bool,
    /// Pull a copy in which the rules of config.hotswap.redact have replaced values, on the server
    #[arg(long)]
    pub redacted: bool,
    /// After the swap, get a URL or run a command. If that fails, go back to the previous version and exit with 7
    /// [default: config.hotswap.probe]
    #[arg(long, value_name = "URL|COMMAND", value_parser = url_or_command)]
    pub probe: Option<String>,
    /// Give the probe at most this time [default: config.hotswap.probe_timeout]
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    pub probe_timeout: Option<u64>,
    #[command(flatten)]
    pub swap: Swap,
    /// A rollback without a name: it means the only database.
    #[arg(skip)]
    pub names_none: bool,
    /// The user named a folder as the destination.
    #[arg(skip)]
    pub into_folder: bool,
    /// The source, if errors have to name it: one of several.
    #[arg(skip)]
    pub subject: Option<String>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Rollback {
    /// The managed database; can be left out if there is only one
    pub database: Option<OsString>,
    #[command(flatten)]
    pub swap: Swap,
}

/// How a push or a rollback swaps, and what it tells.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Swap {
    /// Write into the live file, in one transaction, instead of replacing it [default: config.hotswap.in_place]
    #[arg(long, value_enum, value_name = "WHEN")]
    pub in_place: Option<InPlace>,
    /// Give up after this time if the application stays busy [default: config.hotswap.timeout]
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    pub timeout: Option<u64>,
    /// Hold requests for at most this long at a time [default: config.hotswap.max_pause]
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds)]
    pub max_pause: Option<u64>,
    #[command(flatten)]
    pub place: Place,
    /// Add this text, such as a commit or a ticket, to the application's log and to hotswap log
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// Print what the command did as one line of JSON (in a pull to -, on standard error)
    #[arg(long)]
    pub json: bool,
    /// Print only errors
    #[arg(long, short)]
    pub quiet: bool,
}

impl Cp {
    /// The tables that the copy is about.
    pub(super) fn tables(&self) -> Option<Selection> {
        let only = self.only.clone().map(Selection::Only);
        only.or_else(|| self.except.clone().map(Selection::Except))
    }
}

/// A rollback copies the previous version of the database into the database.
impl From<Rollback> for Cp {
    fn from(rollback: Rollback) -> Self {
        let names_none = rollback.database.is_none();
        let dst = rollback.database.unwrap_or_default();
        Self {
            names_none,
            src: vec![previous_of(1, &dst)],
            dst,
            swap: rollback.swap,
            ..Self::default()
        }
    }
}

#[derive(Args, Clone, Debug)]
pub(super) struct Status {
    /// A managed database, or a pattern in quotes [default: all]
    pub database: Option<OsString>,
    /// Show it again every second, until you press Ctrl-C
    #[arg(long, short)]
    pub watch: bool,
    /// Print one line of JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Log {
    /// A managed database, or a pattern in quotes [default: all]
    pub database: Option<OsString>,
    /// Show only the newest COUNT entries
    #[arg(short = 'n', long = "lines", value_name = "COUNT", value_parser = count)]
    pub newest: Option<usize>,
    /// Print one line of JSON for each entry
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub place: Place,
}

/// Where the worker that answers comes from.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Place {
    /// The server's socket [default: tmp/sockets/hotswap.sock in the application] [env: HOTSWAP_SOCKET]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Work without a server: load the settings of the Rails application, and start the worker from this command
    #[arg(long)]
    pub offline: bool,
}

fn not_empty(text: &str) -> Result<String, &'static str> {
    match text.trim().is_empty() {
        true => Err("it is empty, probably because of an unset shell variable"),
        false => Ok(text.into()),
    }
}

/// A URL without its scheme would be run as a command, after the swap.
fn url_or_command(text: &str) -> Result<String, &'static str> {
    let host = text
        .split_once(':')
        .map(|(host, rest)| (host, rest.split('/').next()));
    match host {
        Some((host, Some(port)))
            if !host.is_empty()
                && host
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
                && port.parse::<u16>().is_ok() =>
        {
            Err("it is neither a URL nor a command. Put http:// or https:// before it")
        }
        _ => not_empty(text),
    }
}

/// The parser of the standard library speaks of digits.
fn count(text: &str) -> Result<usize, &'static str> {
    text.parse().map_err(|_| "it must be a whole number")
}

/// Converts seconds, as in the settings, to milliseconds. The smallest result is 1.
fn milliseconds(seconds: &str) -> Result<u64, String> {
    match seconds.parse::<f64>() {
        // A longer time than the board has room for is practically endless.
        Ok(number) if number > 0.0 && number.is_finite() => {
            Ok((number * 1e3).ceil().min(f64::from(u32::MAX)) as u64)
        }
        _ => Err("it must be a number of seconds above zero".into()),
    }
}

/// The name of a table, a pattern or a group.
fn table(typed: &str) -> Result<String, String> {
    match typed.trim() {
        "" | "@" => Err("it must be names of tables, separated by commas".into()),
        name => Ok(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_lists_every_command_with_its_arguments() {
        for command in Cli::command().get_subcommands() {
            let arguments = command.get_positionals().filter_map(|argument| {
                Some((argument.get_value_names()?.first()?, argument.is_required_set()))
            });
            let arguments: Vec<_> = arguments
                .map(|(name, is_required)| match is_required {
                    true => name.to_string(),
                    false => format!("[{name}]"),
                })
                .collect();
            let typed = format!("{} {}", command.get_name(), arguments.join(" "));
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(
                COMMANDS.contains(&format!("\n  {:19}  {about}\n", typed.trim_end())),
                "{typed}"
            );
        }
    }

    #[test]
    fn options_may_stand_anywhere() {
        let cli = Cli::parse_from(["hotswap", "cp", "--skip-schema-check", "-", "db", "--quiet"]);
        let Some(Command::Cp(cp)) = cli.command else {
            panic!("{cli:?}")
        };
        assert!(cp.skip_schema_check && cp.swap.quiet && !cp.skip_integrity_check);
        assert!(cp.src == ["-"] && cp.dst == "db");
    }

    #[test]
    fn a_count_is_a_whole_number() {
        assert_eq!(count("10"), Ok(10));
        for wrong in ["x", "-1", "1.5", ""] {
            assert_eq!(count(wrong), Err("it must be a whole number"), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_what_the_settings_take() {
        assert_eq!(milliseconds("30"), Ok(30_000));
        assert_eq!(milliseconds("0.0001"), Ok(1));
        for wrong in ["0", "-1", "inf", "NaN", "soon", ""] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }
}
