//! The probe: asks the application whether it works with the new database. If it does not, the push goes back.
//!
//! The worker runs it, and not the client, because a client at the other end of a connection may go away.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as Program, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{fcntl, FcntlArg, OFlag};

use crate::sys::{descriptors, family};
use crate::visible;
use crate::worker::command::Command;

/// How often the worker looks whether a program has ended.
const LOOK: Duration = Duration::from_millis(20);
/// How much of a program's output an error quotes, in bytes.
const QUOTED: usize = 500;
/// How much longer the program for a URL may take. It ends in time by itself, and then it knows the reason.
const SLACK: Duration = Duration::from_secs(5);

/// A question to the application, and how long the answer may take.
pub(super) struct Probe<'a> {
    command: &'a Command<'a>,
    what: What<'a>,
    timeout: Duration,
}

enum What<'a> {
    Url(&'a str),
    Program(&'a str),
    /// The block in the application's settings.
    Block,
}

impl<'a> Probe<'a> {
    /// The probe of `command`, if there is one.
    pub(super) fn of(command: &'a Command<'a>) -> Option<Self> {
        let what = match command.request.probe.as_deref() {
            Some(url) if is_url(url) => What::Url(url),
            Some(program) => What::Program(program),
            None if command.settings.probe => What::Block,
            None => return None,
        };
        Some(Self {
            command,
            what,
            timeout: command.probe_timeout(),
        })
    }

    /// Runs it. Returns why it failed.
    pub(super) fn run(&self) -> Result<(), String> {
        let Command {
            client,
            request,
            settings,
            path,
            ..
        } = self.command;
        match self.what {
            What::Url(url) => {
                client.status(format_args!("Probing {}...", visible::line(url)));
                get(url, &settings.probe_program, self.timeout)
            }
            What::Program(line) => {
                client.status(format_args!("Probing with {}...", visible::line(line)));
                let mut shell = Program::new("/bin/sh");
                shell
                    .args(["-c", line])
                    .env("HOTSWAP_DATABASE", path)
                    .current_dir(&request.folder);
                let (how, said) = run(shell, self.timeout)?;
                match how {
                    None => Ok(()),
                    Some(how) if said.is_empty() => Err(format!("{} {how}", visible::line(line))),
                    Some(how) => Err(format!("{} {how}: {said}", visible::line(line))),
                }
            }
            What::Block => {
                client.status("Probing with config.hotswap.probe...");
                client.ask_application(path, self.timeout)
            }
        }
    }
}

fn is_url(probe: &str) -> bool {
    let scheme = probe.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        ["http", "https"]
            .iter()
            .any(|one| one.eq_ignore_ascii_case(scheme))
    })
}

/// Gets `url` with a Ruby program, which prints the reason of a failure.
fn get(url: &str, program: &Path, timeout: Duration) -> Result<(), String> {
    let mut ruby = Program::new(descriptors::own_program());
    ruby.arg("--disable-gems")
        .arg(program)
        .args([url, &timeout.as_secs_f64().to_string()]);
    match run(ruby, timeout + SLACK)? {
        (None, _) => Ok(()),
        (Some(how), said) if said.is_empty() => Err(format!("the program for {} {how}", visible::line(url))),
        (Some(_), said) => Err(said),
    }
}

/// Runs the program, and returns how it failed, if it did, and the end of what it printed. After `timeout` it is
/// killed.
fn run(mut program: Program, timeout: Duration) -> Result<(Option<String>, String), String> {
    let cannot_start = |error: io::Error| format!("the probe cannot be started: {error}");
    let (ours, theirs) = descriptors::pipe().map_err(cannot_start)?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(|error| cannot_start(error.into()))?;
    program
        .stdin(Stdio::null())
        .stdout(theirs.try_clone().map_err(cannot_start)?)
        .stderr(theirs)
        // So that what it starts can be killed with it.
        .process_group(0);
    let mut child = program.spawn().map_err(cannot_start)?;
    // It has copies of the end that the program writes to.
    drop(program);
    let deadline = Instant::now() + timeout;
    let mut output = Output(File::from(ours), Vec::new());
    let how = loop {
        output.read();
        match child.try_wait() {
            Ok(Some(status)) => break describe(status),
            Err(error) => return Err(format!("cannot wait for the probe: {error}")),
            Ok(None) => {}
        }
        if Instant::now() >= deadline {
            // It may have ended in this moment.
            family::kill_all(child.id());
            let _ = child.wait();
            break Some(format!("took longer than {} s", timeout.as_secs_f64()));
        }
        std::thread::sleep(LOOK);
    };
    output.read();
    Ok((how, output.quoted()))
}

/// `None` for a success.
fn describe(status: ExitStatus) -> Option<String> {
    match status.code() {
        Some(0) => None,
        Some(code) => Some(format!("exited with {code}")),
        None => Some("was killed".into()),
    }
}

/// What a program prints, of which only the end is of interest.
struct Output(File, Vec<u8>);

impl Output {
    /// Reads what is there.
    fn read(&mut self) {
        let mut chunk = [0; 4096];
        while let Ok(length @ 1..) = self.0.read(&mut chunk) {
            self.1.extend(&chunk[..length]);
            let excess = self.1.len().saturating_sub(QUOTED);
            self.1.drain(..excess);
        }
    }

    /// It, in one line.
    fn quoted(&self) -> String {
        visible::line(self.1.trim_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process;

    fn sh(line: &str, timeout: Duration) -> (Option<String>, String) {
        let mut shell = Program::new("/bin/sh");
        shell.args(["-c", line]);
        run(shell, timeout).unwrap()
    }

    #[test]
    fn a_program_succeeds_or_says_why_not() {
        let long = Duration::from_secs(60);
        assert_eq!(sh("echo good", long), (None, "good".into()));
        assert_eq!(
            sh("echo no >&2; echo items; exit 3", long),
            (Some("exited with 3".into()), "no\\nitems".into())
        );
        assert_eq!(sh("kill -9 $$", long), (Some("was killed".into()), String::new()));
        let (how, said) = sh("seq 100000; exit 1", long);
        assert!(how.is_some() && said.ends_with("99999\\n100000"), "{said}");
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed_with_what_it_has_started() {
        let programs = [
            "sleep 600 & echo $!; wait",
            "setsid sh -c 'echo $$; exec sleep 600' & wait",
            "timeout 600 sh -c 'echo $$; sleep 600; true'; true",
        ];
        // Without a list of processes, only those of its group can be found.
        let found = if process::ARE_LISTED { 3 } else { 1 };
        for program in programs.into_iter().take(found) {
            let (how, child) = sh(program, Duration::from_millis(300));
            assert_eq!(how.as_deref(), Some("took longer than 0.3 s"));
            let runs = || {
                std::fs::read_to_string(format!("/proc/{child}/stat"))
                    .is_ok_and(|stat| !stat.contains(") Z "))
            };
            crate::testing::eventually(|| !runs());
        }
    }

    #[test]
    fn a_url_is_known_by_its_scheme_in_any_case() {
        assert!(is_url("http://localhost/up") && is_url("HTTPS://example.com"));
        assert!(!is_url("bin/check http://localhost/up") && !is_url("ftp://example.com") && !is_url("true"));
    }
}
