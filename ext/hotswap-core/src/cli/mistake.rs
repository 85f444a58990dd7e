//! Explains what is wrong with a command line, and what would be valid.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory};

use super::args::{Cli, COMMANDS};

/// Options that other programs have and that hotswap does not need.
const MISSED: &[(&[&str], &str)] = &[
    (
        &["--force", "-f", "--yes", "-y", "--overwrite", "--clobber"],
        "a push does not ask for confirmation: it replaces the database when the file has passed the checks. To skip a check, \
         pass --skip-schema-check or --skip-integrity-check",
    ),
    (
        &["-n", "--check", "--simulate"],
        "to see what a push would do, pass --dry-run",
    ),
    (
        &["--verbose", "-v", "--debug"],
        "the command prints its progress on standard error, and the application's log records every step",
    ),
];

/// The message for a command line that clap refuses. Clap's own tips suggest options that only look similar.
pub(super) fn explain(error: &clap::Error) -> String {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match (
        error.kind(),
        named(ContextKind::InvalidSubcommand),
        named(ContextKind::InvalidArg),
    ) {
        (ErrorKind::InvalidSubcommand, Some(word), _) => {
            format!("Could not find command '{word}'\n\n{COMMANDS}\n\n{MORE}")
        }
        (ErrorKind::UnknownArgument, _, Some(word)) => {
            let usage = error
                .get(ContextKind::Usage)
                .map(ToString::to_string)
                .unwrap_or_default();
            let cli = Cli::command();
            let typed = |command: &&Command| usage.contains(&format!(" {} ", command.get_name()));
            let of = cli.get_subcommands().find(typed).unwrap_or(&cli);
            format!(
                "unexpected argument '{word}': {}\n\nUsage: hotswap {}\n\n{MORE}",
                hint(word, of),
                usage_of(of)
            )
        }
        _ => {
            let text = error.render().to_string();
            text.strip_prefix("error: ")
                .unwrap_or(&text)
                .trim_end()
                .to_owned()
        }
    }
}

const MORE: &str = "For more information, try '--help'.";

/// "cp [OPTIONS] <SRC> <DST>"
fn usage_of(command: &Command) -> String {
    let arguments = command
        .get_positionals()
        .map(|argument| match argument.is_required_set() {
            true => format!(" <{}>", argument.get_id().as_str().to_uppercase()),
            false => format!(" [{}]", argument.get_id().as_str().to_uppercase()),
        });
    format!(
        "{} [OPTIONS]{}",
        command.get_name(),
        arguments.collect::<String>()
    )
}

fn hint(word: &str, command: &Command) -> String {
    let name = word.split('=').next().unwrap_or(word);
    if !name.starts_with('-') {
        return format!("{} takes one database", command.get_name());
    }
    let missed = MISSED.iter().find(|(names, _)| names.contains(&name));
    if let Some((_, why)) = missed.filter(|_| command.get_name() == "cp") {
        return (*why).into();
    }
    let options = options(command);
    let alike = options.iter().max_by_key(|option| shared(option, name));
    match alike.filter(|option| shared(option, name) >= ALIKE) {
        Some(option) => format!("did you mean '{option}'?"),
        None if command.get_name() == "cp" => format!(
            "the options are {}. To name a file, write ./{word}",
            options.join(", ")
        ),
        None => format!("the options are {}", options.join(", ")),
    }
}

/// How many leading bytes a mistyped option, such as `--timeuot`, must share with an option for a suggestion.
const ALIKE: usize = 5;

fn shared(option: &str, typed: &str) -> usize {
    option
        .bytes()
        .zip(typed.bytes())
        .take_while(|(a, b)| a == b)
        .count()
}

fn options(command: &Command) -> Vec<String> {
    let names = command.get_arguments().filter_map(|argument| argument.get_long());
    names
        .filter(|name| *name != "help")
        .map(|name| format!("--{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn explained(words: &[&str]) -> String {
        explain(&Cli::try_parse_from(std::iter::once(&"hotswap").chain(words)).unwrap_err())
    }

    #[test]
    fn a_command_that_is_unknown_is_answered_with_those_that_are_known() {
        let said = explained(&["mv", "a", "b"]);
        assert!(
            said.starts_with(
                "Could not find command 'mv'\n\nCommands:\n  cp SRC DST           Copy a database"
            ),
            "{said}"
        );
    }

    #[test]
    fn an_option_gets_a_hint_that_is_true() {
        for (option, hint) in [
            ("--force", "does not ask for confirmation"),
            ("--simulate", "to see what a push would do, pass --dry-run"),
            ("--skip-schema", "did you mean '--skip-schema-check'?"),
            ("--timeuot=3", "did you mean '--timeout'?"),
            (
                "--nothing",
                "the options are --skip-integrity-check, --skip-schema-check, --if-match, ",
            ),
        ] {
            let said = explained(&["cp", option, "a", "b"]);
            assert!(said.contains(hint) && !said.contains("tip:"), "{said}");
        }
    }

    #[test]
    fn a_mistake_in_a_rollback_is_explained_as_one() {
        let said = explained(&["rollback", "a", "b"]);
        assert!(said.contains("rollback takes one database"), "{said}");
        let said = explained(&["rollback", "--skip-schema-check"]);
        assert!(said.contains("the options are --in-place, --timeout"), "{said}");
    }

    #[test]
    fn a_question_gets_no_hint_that_is_meant_for_a_push() {
        let said = explained(&["log", "-f"]);
        assert!(
            said.contains("the options are --lines, --json, --socket, --offline\n"),
            "{said}"
        );
    }

    #[test]
    fn what_is_missing_is_named_as_ever() {
        assert!(explained(&["cp", "a"]).contains("<DST>"));
    }
}
