//! The command line, as a process of its own or inside one.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use hotswap_core::cli::{self, Surroundings};
use hotswap_core::client::{Stdio, Streams};
use magnus::{function, Error, Object, RModule, Ruby};

fn own(descriptor: i32) -> std::io::Result<Stdio> {
    // SAFETY: Ruby keeps its IO, and so the descriptor, open for the length of the call.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned().map(File::from).map(Stdio::from)
}

fn surroundings(
    folder: String,
    program: Option<String>,
    gemfile: Option<String>,
    streams: [i32; 3],
    owns_process: bool,
) -> std::io::Result<Surroundings> {
    let [stdin, stdout, stderr] = streams;
    Ok(Surroundings {
        folder: folder.into(),
        program: program.map(PathBuf::from),
        gemfile: gemfile.map(PathBuf::from),
        streams: Streams {
            stdin: own(stdin)?,
            stdout: own(stdout)?,
            stderr: own(stderr)?,
        },
        owns_process,
    })
}

/// Runs a command that is the whole process; returns its exit status.
fn run_command(
    ruby: &Ruby,
    arguments: Vec<String>,
    folder: String,
    program: Option<String>,
    gemfile: Option<String>,
) -> Result<i32, Error> {
    let surroundings = surroundings(folder, program, gemfile, [0, 1, 2], true)
        .map_err(|error| Error::new(ruby.exception_io_error(), error.to_string()))?;
    Ok(cli::run(arguments.into_iter().map(OsString::from).collect(), surroundings).into())
}

/// Starts a command beside whatever this process does. Returns a descriptor, which the caller owns: one byte,
/// the exit status, can be read from it when the command is done.
fn start_command(
    ruby: &Ruby,
    arguments: Vec<String>,
    folder: String,
    stdin: i32,
    stdout: i32,
    stderr: i32,
) -> Result<i32, Error> {
    let failed = |error: std::io::Error| Error::new(ruby.exception_io_error(), error.to_string());
    let surroundings = surroundings(folder, None, None, [stdin, stdout, stderr], false).map_err(failed)?;
    let (reader, mut writer) = UnixStream::pair().map_err(failed)?;
    let run = move || {
        hotswap_core::signal::leave_signals_to_others();
        let code = cli::run(arguments.into_iter().map(OsString::from).collect(), surroundings);
        // Nobody who waits for it any more needs it.
        let _ = writer.write_all(&[code as u8]);
    };
    std::thread::Builder::new()
        .name("hotswap-command".into())
        .spawn(run)
        .map_err(failed)?;
    Ok(OwnedFd::from(reader).into_raw_fd())
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("run_command", function!(run_command, 4))?;
    native.define_singleton_method("start_command", function!(start_command, 5))?;
    Ok(())
}
