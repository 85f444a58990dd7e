//! What this process may do with the files of others, and the umask.

use std::sync::OnceLock;

/// The umask of this process. Asking for it changes it for a moment, to a strict one, so this asks only once.
pub fn umask() -> Option<u32> {
    static UMASK: OnceLock<u32> = OnceLock::new();
    let ask = || {
        // SAFETY: takes no pointer, and cannot fail.
        let umask = unsafe { libc::umask(0o077) };
        // SAFETY: as above.
        unsafe { libc::umask(umask) };
        #[allow(clippy::useless_conversion)] // macOS has 16 bits for it.
        u32::from(umask)
    };
    Some(*UMASK.get_or_init(ask))
}

/// Whether this process may give a file to any user.
pub fn gives_files_away() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this process may do what only the owner of a file may do.
pub fn acts_as_any_owner() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The groups of this process besides its own one.
pub fn groups() -> Vec<u32> {
    // SAFETY: without room the call only counts.
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let mut groups = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: the vector has room for as many groups as the call is told.
    let count = unsafe { libc::getgroups(groups.len() as libc::c_int, groups.as_mut_ptr()) };
    groups.truncate(usize::try_from(count).unwrap_or(0));
    groups
}
