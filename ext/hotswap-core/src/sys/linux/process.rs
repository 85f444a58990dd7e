//! Processes, as `/proc` shows them.

use crate::sys::credentials::Credentials;

/// Whether this platform lists processes.
pub const ARE_LISTED: bool = true;

/// All processes.
pub fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The command line of a process: its words, each with a zero byte behind it.
pub fn command_line(pid: u32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// The name of the program of a process.
pub fn program(pid: u32) -> Option<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/comm")).ok()
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    stat(pid)?.split(' ').nth(1)?.parse().ok()
}

/// When a process began, which tells it from a later process with the same pid. `None` if it has ended.
pub fn began(pid: u32) -> Option<String> {
    let stat = stat(pid as i32)?;
    let mut fields = stat.split(' ');
    let runs = !fields.next()?.starts_with(['Z', 'X']);
    let began = fields.nth(18)?;
    runs.then(|| began.to_owned())
}

/// Whether a process is stopped.
pub fn is_stopped(pid: u32) -> bool {
    stat(pid as i32).is_some_and(|stat| stat.starts_with(['T', 't']))
}

/// Whether a process waits for a disk. A signal does not end such a process before the disk answers.
pub fn waits_for_a_disk(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.starts_with('D'))
}

/// The fields of `/proc/PID/stat` after the program's name. The name is in parentheses and may contain anything.
fn stat(pid: i32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, fields)| fields.to_owned())
}

/// The bit of the capability that overrides file modes, from `linux/capability.h`.
const CAP_DAC_OVERRIDE: u64 = 1 << 1;

/// The user and the groups of a process.
pub fn credentials(pid: u32) -> Option<Credentials> {
    parse(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse(status: &str) -> Option<Credentials> {
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let numbers = |name: &str| -> Option<Vec<u32>> {
        let words = value(name)?.split_whitespace();
        Some(words.filter_map(|id| id.parse().ok()).collect())
    };
    let capabilities = u64::from_str_radix(value("CapEff:")?.trim(), 16).ok()?;
    // The fourth number is the id that the kernel uses for file access.
    let user = *numbers("Uid:")?.get(3)?;
    Some(Credentials {
        user,
        group: *numbers("Gid:")?.get(3)?,
        groups: numbers("Groups:")?,
        ignores_modes: user == 0 || capabilities & CAP_DAC_OVERRIDE != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_for_file_access_count() {
        let status = |user: u32, capabilities: &str| {
            format!(
                "Name:\truby\nUid:\t9\t9\t9\t{user}\nGid:\t9\t9\t9\t33\nGroups:\t4 34 \nCapEff:\t{capabilities}\n"
            )
        };
        for (user, capabilities, ignores_modes) in [
            (1000, "0000000000000000", false),
            (1000, "0000000000000002", true),
            (1000, "000001fffffffffd", false),
            (0, "0000000000000000", true),
        ] {
            let expected = Credentials {
                user,
                group: 33,
                groups: vec![4, 34],
                ignores_modes,
            };
            assert_eq!(parse(&status(user, capabilities)), Some(expected));
        }
        assert_eq!(parse("Name:\truby\n"), None);
    }
}
