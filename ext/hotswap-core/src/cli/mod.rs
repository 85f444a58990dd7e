//! The command line: takes arguments, returns how the command ended. Nothing in this module ends the process.

mod application;
mod args;
mod mistake;
mod question;
mod several;
mod socket;
mod surroundings;
mod text;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::client::{self, Outcome, Stdio};
use crate::error::{Error, Usage};
use crate::exit_code::ExitCode;

pub use application::Application;
use args::{Cli, Command};
pub use surroundings::Surroundings;
use surroundings::{print, report, report_about, require_application, socket_of};

/// The root of the Rails application whose process has to run `arguments`, because they contain `--offline`. `None` if
/// any process can run them.
pub fn offline_application(
    arguments: &[OsString],
    folder: &Path,
    program: Option<&Path>,
    gemfile: Option<&Path>,
) -> Option<PathBuf> {
    let words = std::iter::once("hotswap".into()).chain(arguments.iter().cloned());
    let place = match Cli::try_parse_from(words).ok()?.command? {
        Command::Cp(cp) => cp.swap.place,
        Command::Rollback(rollback) => rollback.swap.place,
        Command::Status(status) => status.place,
        Command::Log(log) => log.place,
        Command::Version => return None,
    };
    match place.offline {
        true => socket::rails_application(folder, program, gemfile),
        false => None,
    }
}

/// Runs `hotswap ARGUMENTS` (without the program's name) and returns how it ended.
pub fn run(arguments: Vec<OsString>, mut surroundings: Surroundings) -> Outcome {
    if arguments.is_empty() {
        return run(vec!["help".into()], surroundings);
    }
    let wants_json = arguments.iter().any(|argument| argument == "--json");
    let parsed = Cli::try_parse_from(std::iter::once("hotswap".into()).chain(arguments));
    match parsed {
        Ok(Cli {
            command: Some(Command::Cp(cp)),
        }) => match several::stands_for_several(&cp, &surroundings) {
            true => several::run(&cp, surroundings, carry_out),
            false => copy(several::with_file_name(cp, &surroundings), surroundings),
        },
        Ok(Cli {
            command: Some(Command::Rollback(rollback)),
        }) => match rollback.database.as_ref().is_some_and(|name| name.is_empty()) {
            true => report(
                &mut surroundings.streams.stderr,
                &Usage::Empty { side: "DATABASE" }.into(),
            ),
            false => copy(rollback.into(), surroundings),
        },
        Ok(Cli {
            command: Some(Command::Status(status)),
        }) => question::ask(status.into(), surroundings),
        Ok(Cli {
            command: Some(Command::Log(log)),
        }) => question::ask(log.into(), surroundings),
        Ok(Cli {
            command: Some(Command::Version) | None,
        }) => print(
            &mut surroundings.streams.stdout,
            &format!("hotswap {}\n", crate::VERSION),
        ),
        Err(answer) if !answer.use_stderr() => {
            print(&mut surroundings.streams.stdout, &answer.render().to_string())
        }
        Err(error) => {
            let explanation = mistake::explain(&error);
            let outcome = report(
                &mut surroundings.streams.stderr,
                &Usage::NoCommand { explanation }.into(),
            );
            if wants_json {
                print(
                    &mut surroundings.streams.stdout,
                    &format!("{}\n", outcome.to_json()),
                );
            }
            outcome
        }
    }
}

/// Runs one copy or a rollback, and prints its end as JSON if the user asks for that.
fn copy(cp: args::Cp, surroundings: Surroundings) -> Outcome {
    let streams = &surroundings.streams;
    // In a pull to -, standard output carries the database.
    let json = cp.swap.json.then(|| match cp.dst == "-" {
        true => streams.stderr.try_clone(),
        false => streams.stdout.try_clone(),
    });
    let outcome = carry_out(cp, surroundings);
    if let Some(Ok(mut to)) = json {
        print(&mut to, &format!("{}\n", outcome.to_json()));
    }
    outcome
}

fn carry_out(cp: args::Cp, mut surroundings: Surroundings) -> Outcome {
    let Some(folder) = surroundings.folder.take() else {
        return report(&mut surroundings.streams.stderr, &Usage::NoFolder.into());
    };
    let tables = cp.tables();
    let subject = cp.subject.clone();
    let fail = |stderr: &mut Stdio, error: &Error| report_about(stderr, subject.as_deref(), error);
    let src = cp.src.into_iter().next().unwrap_or_default();
    for (side, typed) in [("SRC", &src), ("DST", &cp.dst)] {
        if typed.is_empty() && !cp.names_none {
            return fail(&mut surroundings.streams.stderr, &Usage::Empty { side }.into());
        }
    }
    if cp.swap.place.offline {
        if let Err(error) = require_application(&folder, &surroundings) {
            return fail(&mut surroundings.streams.stderr, &error);
        }
    }
    let socket = socket_of(cp.swap.place.socket.as_ref(), &folder, &surroundings);
    let mut copy = client::Copy {
        src,
        dst: cp.dst,
        skip_integrity_check: cp.skip_integrity_check,
        skip_schema_check: cp.skip_schema_check,
        in_place: cp.swap.in_place,
        timeout_ms: cp.swap.timeout,
        max_pause_ms: cp.swap.max_pause,
        if_match: cp.if_match,
        if_changed: cp.if_changed,
        max_shrink: cp.max_shrink,
        tables,
        allow_orphans: cp.allow_orphans,
        redacted: cp.redacted,
        into_folder: cp.into_folder,
        subject: cp.subject,
        dry_run: cp.dry_run,
        probe: cp.probe,
        probe_timeout_ms: cp.probe_timeout,
        label: cp.swap.label,
        offline: cp.swap.place.offline,
        json: cp.swap.json,
        quiet: cp.swap.quiet,
        folder,
        here: surroundings
            .application
            .as_ref()
            .and_then(|application| application.here(&socket)),
        socket,
        owns_process: surroundings.owns_process,
        abort: surroundings.abort,
    };
    let mut stderr = match surroundings.streams.stderr.try_clone() {
        Ok(stderr) => stderr,
        Err(_) => return ExitCode::Failed.into(),
    };
    let abort = copy.abort.clone();
    if let Some(application) = &surroundings.application {
        match application.names(&copy.socket, &copy.source(), &copy.destination()) {
            Ok([src, dst]) => {
                copy.src = src.unwrap_or(copy.src);
                copy.dst = dst.unwrap_or(copy.dst);
            }
            Err(error) => return fail(&mut stderr, &error),
        }
    }
    let allowed = surroundings.application.map_or(Ok(()), |application| {
        application.refuse_to_wait_for_itself(&copy.socket, &copy.source(), &copy.destination())
    });
    match allowed.and_then(|()| copy.run(surroundings.streams)) {
        Ok(outcome) => outcome,
        // The caller that ended the command knows why.
        Err(error) if abort.asked() => Outcome::from(&error),
        Err(error) => fail(&mut stderr, &error),
    }
}
