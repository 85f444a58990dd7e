//! For tests that cannot run everywhere, or not in the process of the others.

use std::io::Write;
use std::process::Command;

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
