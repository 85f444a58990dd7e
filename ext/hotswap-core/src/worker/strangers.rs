//! Who has a file open: names for a message. Not a proof; that is the [lease](super::lease).

use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::fence;
use crate::protocol::Identity;

/// "process 4711 (sqlite3 db/production.sqlite3)" for every other process that has `file` open or mapped, as far
/// as this user may look.
pub fn of(file: &Path) -> Vec<String> {
    users(file).map(name).collect()
}

/// The same without the members of its fleet and their visitors, who have its fence open as well.
pub fn outside_the_fleet(file: &Path) -> Vec<String> {
    let fence = std::fs::metadata(fence::path_of(file)).map(|fence| Identity::of(&fence));
    users(file)
        .filter(|pid| !matches!(fence, Ok(fence) if has_open(*pid, fence)))
        .map(name)
        .collect()
}

fn users(file: &Path) -> impl Iterator<Item = u32> + '_ {
    let metadata = std::fs::metadata(file).ok();
    let processes = metadata.as_ref().and_then(|_| std::fs::read_dir("/proc").ok());
    let pids = processes
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    pids.filter(move |pid| {
        *pid != std::process::id()
            && metadata.as_ref().is_some_and(|metadata| {
                has_open(*pid, Identity::of(metadata)) || has_mapped(*pid, file, metadata)
            })
    })
}

/// Names as the end of a sentence.
pub fn phrase(names: Vec<String>) -> String {
    match names {
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
            && !is_only_a_path(pid, &entry.file_name())
    })
}

/// A descriptor made with O_PATH names a file, and has not opened it.
fn is_only_a_path(pid: u32, descriptor: &OsStr) -> bool {
    let about = Path::new("/proc")
        .join(pid.to_string())
        .join("fdinfo")
        .join(descriptor);
    let about = std::fs::read_to_string(about).unwrap_or_default();
    let flags = about.lines().find_map(|line| line.strip_prefix("flags:"));
    flags
        .and_then(|octal| libc::c_int::from_str_radix(octal.trim(), 8).ok())
        .is_some_and(|flags| flags & libc::O_PATH != 0)
}

/// Whoever maps a file may have closed its descriptor.
fn has_mapped(pid: u32, file: &Path, metadata: &Metadata) -> bool {
    let Ok(maps) = std::fs::read_to_string(format!("/proc/{pid}/maps")) else {
        return false;
    };
    let device = format!(
        "{:02x}:{:02x}",
        libc::major(metadata.dev()),
        libc::minor(metadata.dev())
    );
    maps.lines().any(|line| {
        // Overlayfs shows another device here than to stat, and a container other paths.
        let mut words = line.split_ascii_whitespace().skip(3);
        let same_device = words.next() == Some(&device);
        let same_inode = words.next().and_then(|inode| inode.parse().ok()) == Some(metadata.ino());
        same_inode && (same_device || line.ends_with(&*file.to_string_lossy()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::OpenOptionsExt;
    use std::process::{Child, Command, Stdio};

    fn stranger_with(file: &std::fs::File) -> Child {
        Command::new("sleep")
            .arg("60")
            .stdin(Stdio::from(file.try_clone().unwrap()))
            .spawn()
            .unwrap()
    }

    #[test]
    fn a_process_that_has_the_file_open_is_named_with_its_command() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut stranger = stranger_with(&file.reopen().unwrap());
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

    #[test]
    fn a_process_that_only_points_at_the_file_is_no_stranger() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut pointing = std::fs::OpenOptions::new();
        pointing.read(true).custom_flags(libc::O_PATH);
        let mut stranger = stranger_with(&pointing.open(file.path()).unwrap());
        let named = of(file.path());
        stranger.kill().unwrap();
        stranger.wait().unwrap();
        assert_eq!(named, [] as [String; 0]);
    }

    #[test]
    fn who_has_the_fence_open_too_is_of_the_fleet() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("live.sqlite3");
        std::fs::write(&database, b"x").unwrap();
        std::fs::write(fence::path_of(&database), b"x").unwrap();
        let open = |path: &Path| Stdio::from(std::fs::File::open(path).unwrap());
        let mut member = Command::new("sleep")
            .arg("60")
            .stdin(open(&database))
            .stdout(open(&fence::path_of(&database)))
            .spawn()
            .unwrap();
        let (all, outside) = (of(&database), outside_the_fleet(&database));
        member.kill().unwrap();
        member.wait().unwrap();
        assert_eq!((all.len(), outside.len()), (1, 0));
    }
}
