//! The extended attributes of a file, including access control lists.
//!
//! They are read by path: closing a second descriptor of the live file would drop SQLite's locks. They are copied
//! where possible. What the file system or this user's rights do not allow is skipped, as `cp --preserve` does.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The kernel's name for an access control list. A new file has the default list of its folder.
const ACCESS: &CStr = c"system.posix_acl_access";

/// Gives `file` the attributes of the one at `path`.
pub fn keep(path: &Path, file: &File) {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return;
    };
    let names = filled(|buffer, room| {
        // SAFETY: the path is a C string, and the buffer has that much room.
        unsafe { libc::listxattr(path.as_ptr(), buffer.cast(), room) }
    });
    let names = names.unwrap_or_default();
    let names: Vec<&CStr> = names
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .collect();
    if !names.contains(&ACCESS) {
        // SAFETY: the descriptor is open, and the name a C string.
        unsafe { libc::fremovexattr(file.as_raw_fd(), ACCESS.as_ptr()) };
    }
    for name in names {
        let value = filled(|buffer, room| {
            // SAFETY: path and name are C strings, and the buffer has that much room.
            unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.cast(), room) }
        });
        if let Some(value) = value {
            set(file, name, &value);
        }
    }
}

/// Whether `file` has an access control list.
pub fn has_access_list(file: &File) -> bool {
    // SAFETY: the descriptor is open, and the name is a C string. Without a buffer the call returns the length.
    unsafe { libc::fgetxattr(file.as_raw_fd(), ACCESS.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

/// Sets an attribute. Returns false if the file system or this user's rights do not allow it.
fn set(file: &File, name: &CStr, value: &[u8]) -> bool {
    // SAFETY: the descriptor is open, the name a C string, and the value as long as it says.
    unsafe {
        libc::fsetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        ) == 0
    }
}

/// The answer of a call that fills a buffer. Without a buffer such a call returns the length.
fn filled(call: impl Fn(*mut u8, usize) -> isize) -> Option<Vec<u8>> {
    let mut value = vec![0; usize::try_from(call(std::ptr::null_mut(), 0)).ok()?];
    // An attribute that has grown in between is skipped.
    let length = usize::try_from(call(value.as_mut_ptr(), value.len())).ok()?;
    value.truncate(length);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pending;

    /// Read and write for the owner, read for user 1234 and for the group, nothing for others.
    const LIST: &[u8] = &[
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 210, 4, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255,
        16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];

    fn get(path: &Path, name: &CStr) -> Option<Vec<u8>> {
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: as above.
        filled(|buffer, room| unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), buffer.cast(), room) })
    }

    #[test]
    fn a_file_gets_what_another_one_has_and_loses_what_that_has_not() {
        let folder = tempfile::tempdir().unwrap();
        let (live, staged) = (folder.path().join("live"), folder.path().join("staged"));
        let (there, here) = (File::create(&live).unwrap(), File::create(&staged).unwrap());
        if !set(&there, c"user.label", b"kept") || !set(&there, ACCESS, LIST) {
            return pending("this file system keeps no attributes");
        }
        assert!(has_access_list(&there) && !has_access_list(&here));
        keep(&live, &here);
        assert_eq!(get(&staged, c"user.label").unwrap(), b"kept");
        assert_eq!(get(&staged, ACCESS).unwrap(), LIST);

        keep(&folder.path().join("without"), &there);
        assert_eq!(get(&live, ACCESS), None);
        assert!(!has_access_list(&there));
    }
}
