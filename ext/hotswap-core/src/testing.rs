//! For tests that cannot run everywhere, that need a process of their own, or that have to wait.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

/// Says that the test that calls this does not run here, and why. bin/test counts these lines; they go past the
/// capture of the test harness, which hides what a test prints that passes.
pub(crate) fn pending(why: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "pending: {test}: {why}");
}

/// The command that runs one `#[ignore]`d test, by its name in the module of the caller (`module_path!()`).
pub(crate) fn ignored_test(module: &str, name: &str) -> Command {
    let (_this_crate, module) = module.split_once("::").expect("a module of this crate");
    let mut command = Command::new(std::env::current_exe().expect("the test binary has a path"));
    command.args(["--ignored", "--exact", &format!("{module}::{name}")]);
    command
}

/// Waits until `condition` holds.
///
/// A file that a test closes may be open for a moment longer, and in another process: the tests share a process, and
/// a child that one of them forks has a copy of every descriptor until it runs another program or ends.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) {
    let since = Instant::now();
    while !condition() {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "the condition did not come true"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
