//! What this process may do with the files of others, and the umask.

const CAP_CHOWN: u64 = 1 << 0;
const CAP_FOWNER: u64 = 1 << 3;

/// The umask of this process. Asking the kernel itself would change the umask of all threads for a moment.
pub fn umask() -> Option<u32> {
    let octal = field("Umask:")?;
    u32::from_str_radix(octal.trim(), 8).ok()
}

/// Whether this process may give a file to any user. Root in a container may lack this right.
pub fn gives_files_away() -> bool {
    has(CAP_CHOWN)
}

/// Whether this process may do what only the owner of a file may do.
pub fn acts_as_any_owner() -> bool {
    has(CAP_FOWNER)
}

/// The groups of this process besides its own one.
pub fn groups() -> Vec<u32> {
    let groups = nix::unistd::getgroups().unwrap_or_default();
    groups.into_iter().map(nix::unistd::Gid::as_raw).collect()
}

fn has(capability: u64) -> bool {
    let effective = field("CapEff:").and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_some_and(|capabilities| capabilities & capability != 0)
}

fn field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mut lines = status.lines();
    lines.find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}
