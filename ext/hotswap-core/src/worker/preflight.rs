//! What can be known before a byte is sent: whether the live path can be replaced at all.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Context, Error, Result};

/// A rename that cannot work, or that would leave other names behind, is refused before anything is sent.
pub fn refuse_what_cannot_be_renamed(path: &Path) -> Result<()> {
    let Ok(live) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !live.is_file() {
        return Err(Error::Refused(format!(
            "{} is not a regular file",
            path.display()
        )));
    }
    if live.nlink() > 1 {
        return Err(Error::Refused(format!(
            "{} has {} names (hard links); replacing one would leave the others on the old database. Remove them first",
            path.display(),
            live.nlink()
        )));
    }
    let folder = path.parent().unwrap_or(Path::new("/"));
    if mount_of(path)? != mount_of(folder)? {
        return Err(Error::Refused(format!(
            "{} is mounted as a single file, which cannot be replaced; mount its folder instead",
            path.display()
        )));
    }
    Ok(())
}

fn mount_of(path: &Path) -> Result<u64> {
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())
        .map_err(|_| Error::Usage(format!("{} is no path", path.display())))?;
    // SAFETY: all fields of `statx` are integers; zero is a value of each.
    let mut answer: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the name is a C string and the answer outlives the call.
    let called = unsafe { libc::statx(libc::AT_FDCWD, name.as_ptr(), 0, libc::STATX_MNT_ID, &mut answer) };
    nix::errno::Errno::result(called).on_path("cannot stat", path)?;
    Ok(answer.stx_mnt_id)
}
