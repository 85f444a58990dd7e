//! Who has a file open: names for a refusal. Not a proof; that is the [lease](super::lease).

use std::path::Path;

use crate::protocol::Identity;

/// "process 4711 (sqlite3 db/production.sqlite3)" for every other process that has `file` open, as far as this
/// user may look.
pub fn of(file: &Path) -> Vec<String> {
    let Ok(metadata) = std::fs::metadata(file) else {
        return vec![];
    };
    let identity = Identity::of(&metadata);
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return vec![];
    };
    let pids = processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id() && has_open(*pid, identity))
        .map(name)
        .collect()
}

/// The same as the end of a sentence.
pub fn phrase(file: &Path) -> String {
    match of(file) {
        names if names.is_empty() => {
            "a process that this user cannot see, or one in another container".into()
        }
        names => names.join(", "),
    }
}

/// "process 4711 (bin/rails console)".
pub fn name(pid: u32) -> String {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = command
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(String::from_utf8_lossy)
        .collect();
    let command: String = words.join(" ").chars().take(120).collect();
    match command.as_str() {
        // A process that just starts, or that has changed how it is called, still has its program's name.
        "" => std::fs::read_to_string(format!("/proc/{pid}/comm")).map_or_else(
            |_| format!("process {pid}"),
            |program| format!("process {pid} ({})", program.trim_end()),
        ),
        command => format!("process {pid} ({command})"),
    }
}

fn has_open(pid: u32, identity: Identity) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    descriptors.flatten().any(|entry| {
        std::fs::metadata(entry.path()).is_ok_and(|metadata| Identity::of(&metadata) == identity)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_has_the_file_open_is_named_with_its_command() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let opened = std::fs::File::open(file.path()).unwrap();
        let mut stranger = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(opened))
            .spawn()
            .unwrap();
        // The kernel lets the parent go on before the new program's arguments are in their place.
        let arguments = format!("/proc/{}/cmdline", stranger.id());
        while std::fs::read(&arguments).is_ok_and(|command| command.is_empty()) {
            std::thread::yield_now();
        }
        let named = of(file.path());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert_eq!(named, [format!("process {} (sleep 60)", stranger.id())]);
    }
}
