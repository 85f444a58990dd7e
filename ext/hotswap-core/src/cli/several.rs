//! `hotswap cp` into a folder, as `cp` does: a snapshot of each source, also of those that a pattern finds.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use serde::Serialize;

use super::surroundings::{print, report, report_about, Surroundings};
use super::{args, socket};
use crate::client::{Outcome, Streams};
use crate::error::{Busy, Context, Result, Usage};
use crate::exit_code::ExitCode;
use crate::path::resolve;
use crate::pattern::Pattern;
use crate::visible::{self, Shown};

/// A source, and the file in the folder that gets its snapshot.
struct Pull {
    source: OsString,
    /// `None` for a pattern that has found nothing.
    target: Option<PathBuf>,
    /// Where the source is, if it is a file: its name may be relative to the application's root.
    found: Option<PathBuf>,
}

impl Pull {
    fn is_same_source(&self, other: &Self) -> bool {
        let found = self.found.as_deref().zip(other.found.as_deref());
        self.source == other.source || found.is_some_and(|(one, other)| resolve(one) == resolve(other))
    }
}

/// The line of JSON about one of the copies.
#[derive(Serialize)]
struct Line<'a> {
    from: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

/// Whether the sources of `cp` stand for several copies.
pub(super) fn stands_for_several(cp: &args::Cp, surroundings: &Surroundings) -> bool {
    let folder = surroundings.folder.as_deref().unwrap_or(Path::new("/"));
    cp.src.len() > 1 || cp.src.iter().any(|source| is_pattern(folder, source))
}

fn is_pattern(folder: &Path, source: &OsStr) -> bool {
    Pattern::of(Path::new(source)).is_some() && folder.join(source).symlink_metadata().is_err()
}

/// A copy of one source into an existing folder: the file in it has the name of the source.
pub(super) fn with_file_name(cp: args::Cp, surroundings: &Surroundings) -> args::Cp {
    let (Some(folder), [source]) = (&surroundings.folder, &*cp.src) else {
        return cp;
    };
    let has_no_name = source == "-" || source.is_empty() || is_pattern(folder, source);
    if has_no_name || cp.dst == "-" || cp.dst.is_empty() || !folder.join(&cp.dst).is_dir() {
        return cp;
    }
    let target = Path::new(&cp.dst).join(name_of(folder, source));
    args::Cp {
        dst: target.into(),
        into_folder: true,
        ..cp
    }
}

/// Carries out a single copy.
type CarryOut = fn(args::Cp, Surroundings) -> Outcome;

/// Runs all copies. A failure does not keep the others from running. The outcome is the worst one.
pub(super) fn run(cp: &args::Cp, mut surroundings: Surroundings, carry_out: CarryOut) -> Outcome {
    let pulls = match plan(cp, &surroundings) {
        Ok(pulls) => pulls,
        Err(error) => {
            let outcome = report(&mut surroundings.streams.stderr, &error);
            if cp.swap.json {
                print(
                    &mut surroundings.streams.stdout,
                    &format!("{}\n", outcome.to_json()),
                );
            }
            return outcome;
        }
    };
    let sources = pulls
        .iter()
        .map(|pull| visible::line(pull.source.as_bytes()).chars().count());
    let width = sources.max().unwrap_or_default();
    let mut worst = Outcome::from(ExitCode::Done);
    for pull in pulls {
        let source = visible::line(pull.source.as_bytes());
        let outcome = match pull_one(cp, &pull, &surroundings, carry_out) {
            Ok(outcome) => outcome,
            Err(error) => report_about(&mut surroundings.streams.stderr, Some(&source), &error),
        };
        let line = match (cp.swap.json, cp.swap.quiet) {
            (true, _) => json(&pull, &outcome),
            (false, true) => String::new(),
            (false, false) => row(&pull, &outcome, width),
        };
        if !line.is_empty() {
            print(&mut surroundings.streams.stdout, &format!("{line}\n"));
        }
        let code = outcome.code;
        if (code as u8) > worst.code as u8 {
            worst = Outcome {
                figures: None,
                ..outcome
            };
        }
        if code == ExitCode::NoServer || surroundings.abort.asked() {
            break;
        }
    }
    worst
}

/// "OK        primary  12.00 KiB  backups/primary.sqlite3"
fn row(pull: &Pull, outcome: &Outcome, width: usize) -> String {
    let source = visible::line(pull.source.as_bytes());
    match (&outcome.figures, &pull.target) {
        (Some(figures), Some(target)) if outcome.code == ExitCode::Done => {
            let size = HumanBytes(figures.bytes).to_string();
            format!("OK        {source:width$}  {size:>11}  {}", target.shown())
        }
        _ => format!("FAILED {}  {source}", outcome.code as u8),
    }
}

fn json(pull: &Pull, outcome: &Outcome) -> String {
    let line = Line {
        from: visible::line(pull.source.as_bytes()),
        to: pull.target.as_ref().map(|target| target.shown()),
        outcome,
    };
    // Fails only for maps whose keys are not text.
    serde_json::to_string(&line).unwrap_or_default()
}

fn pull_one(cp: &args::Cp, pull: &Pull, surroundings: &Surroundings, carry_out: CarryOut) -> Result<Outcome> {
    let folder = surroundings.folder.clone().ok_or(Usage::NoFolder)?;
    let Some(target) = &pull.target else {
        let name = visible::line(pull.source.as_bytes());
        return Err(Usage::NothingMatches { name }.into());
    };
    let is_gone = |file: &PathBuf| file.symlink_metadata().is_err();
    if pull.found.as_ref().is_some_and(is_gone) {
        return Err(Busy::SourceRemoved.into());
    }
    let parent = folder.join(target.parent().unwrap_or(target));
    let new: Vec<_> = parent.ancestors().take_while(|above| !above.exists()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&parent)
        .on_path("cannot create", &parent)?;
    let clone = || -> std::io::Result<Streams> {
        Ok(Streams {
            stdin: surroundings.streams.stdin.try_clone()?,
            stdout: surroundings.streams.stdout.try_clone()?,
            stderr: surroundings.streams.stderr.try_clone()?,
        })
    };
    let mut one = cp.clone();
    one.src = vec![pull.source.clone()];
    one.dst = target.clone().into();
    one.into_folder = true;
    one.subject = Some(visible::line(pull.source.as_bytes()));
    // Neither OK nor the identity, but every warning.
    one.swap.json = true;
    let outcome = carry_out(
        one,
        Surroundings {
            folder: Some(folder),
            program: surroundings.program.clone(),
            gemfile: surroundings.gemfile.clone(),
            application: surroundings.application.clone(),
            streams: clone().context("cannot use the standard streams")?,
            owns_process: surroundings.owns_process,
            abort: surroundings.abort.clone(),
        },
    );
    if outcome.code != ExitCode::Done {
        // Only empty ones go.
        new.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
    }
    Ok(outcome)
}

/// What to copy where: no source twice, and no two sources into the same file.
fn plan(cp: &args::Cp, surroundings: &Surroundings) -> Result<Vec<Pull>> {
    let folder = surroundings.folder.clone().ok_or(Usage::NoFolder)?;
    if !folder.join(&cp.dst).is_dir() || cp.dst == "-" {
        let name = visible::line(cp.dst.as_bytes());
        return Err(Usage::NotAFolder { name }.into());
    }
    let places = places(&folder, surroundings);
    let mut pulls = Vec::<Pull>::new();
    let mut targets = BTreeMap::<PathBuf, usize>::new();
    for source in &cp.src {
        if source == "-" || source.is_empty() {
            return Err(Usage::NotOneOfSeveral.into());
        }
        let into = |name: PathBuf| Path::new(&cp.dst).join(name);
        let mut found = match is_pattern(&folder, source) {
            true => found_by(source, &places, into),
            false => vec![Pull {
                source: source.clone(),
                target: Some(into(name_of(&folder, source))),
                found: places
                    .iter()
                    .map(|place| place.join(source))
                    .find(|path| path.is_file()),
            }],
        };
        if found.is_empty() {
            found.push(Pull {
                source: source.clone(),
                target: None,
                found: None,
            });
        }
        for pull in found {
            match pull.target.as_ref().and_then(|target| targets.get(target)) {
                // Two patterns may match the same file, even if only one of them starts at the application's root.
                Some(other) if pulls[*other].is_same_source(&pull) => continue,
                Some(other) => {
                    let sources = [&pulls[*other].source, &pull.source];
                    return Err(Usage::SameTarget {
                        sources: sources.map(|source| visible::line(source.as_bytes())),
                        target: pull.target.unwrap_or_default().shown(),
                    }
                    .into());
                }
                None => {}
            }
            targets.extend(pull.target.clone().map(|target| (target, pulls.len())));
            pulls.push(pull);
        }
    }
    Ok(pulls)
}

/// The folders at which a relative source may start: the caller's, and then the application's root.
fn places(folder: &Path, surroundings: &Surroundings) -> Vec<PathBuf> {
    let (program, gemfile) = (surroundings.program.as_deref(), surroundings.gemfile.as_deref());
    let root = match &surroundings.application {
        Some(application) => Some(application.config.settings.root.clone()),
        None => socket::rails_application(folder, program, gemfile),
    };
    std::iter::once(folder.to_owned()).chain(root).collect()
}

/// The files that match a pattern, from the first of `places` that has any. In the target, each file keeps its path
/// below the folder before the first `*`.
fn found_by(source: &OsStr, places: &[PathBuf], into: impl Fn(PathBuf) -> PathBuf) -> Vec<Pull> {
    for folder in places {
        let path = folder.join(source);
        let Some(pattern) = Pattern::of(&path) else {
            continue;
        };
        let found = pattern.files().into_iter().map(|file| {
            let below = file.strip_prefix(pattern.folder()).unwrap_or(&file).to_owned();
            Pull {
                source: OsString::from(file.strip_prefix(folder).unwrap_or(&file)),
                target: Some(into(below)),
                found: Some(file),
            }
        });
        let found: Vec<_> = found.collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// "production.sqlite3" for a path, "primary.sqlite3" for a name.
fn name_of(folder: &Path, source: &OsStr) -> PathBuf {
    let path = Path::new(source);
    let is_path = folder.join(path).exists() || path.components().count() > 1;
    match path.file_name().filter(|_| is_path) {
        Some(name) => name.into(),
        None => {
            let mut name = source.to_owned();
            name.push(".sqlite3");
            name.into()
        }
    }
}
