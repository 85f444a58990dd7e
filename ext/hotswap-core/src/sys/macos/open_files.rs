//! The files that processes have open, as libproc shows them. It does not show which files a process has mapped and
//! closed.

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::RawFd;
use std::path::Path;

use super::process;
use crate::sys::identity::Identity;
use crate::sys::portable::publication;

/// Whether this platform tells which files other processes have open.
pub const ARE_KNOWN: bool = true;

/// The processes that a survey has to [`look`] at.
pub fn to_look_at(_name: &str) -> Vec<u32> {
    process::pids().collect()
}

/// Which of the files `sought` a process has open, and what it publishes under `name`.
pub fn look(pid: u32, sought: &[Option<Sought>], name: &str) -> (Vec<bool>, Vec<Vec<u8>>) {
    let open: Vec<_> = files(pid).collect();
    let is_open = |sought: &Sought| open.iter().any(|file| sought.is(file));
    (
        sought
            .iter()
            .map(|sought| sought.as_ref().is_some_and(is_open))
            .collect(),
        publication::of(pid, name),
    )
}

/// Whether a process has a file open whose name ends with `suffix`.
pub fn has_name_open(pid: u32, suffix: &str) -> bool {
    files(pid).any(|file| file.name().ends_with(suffix.as_bytes()))
}

/// A file that a process may have open.
#[derive(Debug)]
pub struct Sought {
    identity: Identity,
    /// Whether only processes that can write count.
    writers: bool,
}

impl Sought {
    /// The file at `path`. If `writers`, only processes that can write to it count.
    pub fn at(path: &Path, writers: bool) -> io::Result<Self> {
        let identity = Identity::of(&std::fs::metadata(path)?);
        Ok(Self { identity, writers })
    }

    /// The file of a descriptor. It may have no name any more.
    pub fn of(file: RawFd) -> io::Result<Self> {
        let status = Path::new("/dev/fd").join(file.to_string());
        Self::at(&status, false)
    }

    /// Whether a process has the file open.
    pub fn is_used_in(&self, pid: u32) -> bool {
        self.is_open_in(pid)
    }

    /// Whether a process has the file open.
    pub fn is_open_in(&self, pid: u32) -> bool {
        files(pid).any(|file| self.is(&file))
    }

    fn is(&self, file: &OpenFile) -> bool {
        let stat = &file.vnode.vip_vi.vi_stat;
        // Both are a `dev_t`, which is signed.
        let device = stat.vst_dev as libc::dev_t as u64;
        (device, stat.vst_ino) == (self.identity.device, self.identity.inode)
            && (file.flags & WRITES != 0 || !self.writers)
    }
}

/// `FWRITE` of `sys/fcntl.h`.
const WRITES: u32 = 2;
/// The question for [`OpenFile`], from `sys/proc_info.h`.
const PROC_PIDFDVNODEPATHINFO: libc::c_int = 2;

/// `vnode_fdinfowithpath` of `sys/proc_info.h`.
#[repr(C)]
struct OpenFile {
    flags: u32,
    _status: u32,
    _offset: libc::off_t,
    _kind: i32,
    _guard_flags: u32,
    vnode: libc::vnode_info_path,
}

impl OpenFile {
    fn name(&self) -> &[u8] {
        let path = self.vnode.vip_path.as_flattened();
        // SAFETY: a C string in a buffer of that length; the numbers are bytes.
        let bytes = unsafe { std::slice::from_raw_parts(path.as_ptr().cast::<u8>(), path.len()) };
        CStr::from_bytes_until_nul(bytes).map_or(&[], CStr::to_bytes)
    }
}

/// The files that a process has open, as far as this user may know.
fn files(pid: u32) -> impl Iterator<Item = OpenFile> {
    let pid = pid as libc::c_int;
    let of = |descriptor: &libc::proc_fdinfo| descriptor.proc_fdtype == libc::PROX_FDTYPE_VNODE as u32;
    let descriptors = descriptors(pid).into_iter().filter(of);
    descriptors.filter_map(move |descriptor| file(pid, descriptor.proc_fd))
}

fn descriptors(pid: libc::c_int) -> Vec<libc::proc_fdinfo> {
    let ask = |buffer: *mut libc::proc_fdinfo, room: usize| {
        let room = (room * size_of::<libc::proc_fdinfo>()) as libc::c_int;
        // SAFETY: the buffer has as much room as the call is told. Without room it returns how much it needs.
        let bytes = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, buffer.cast(), room) };
        usize::try_from(bytes).unwrap_or(0) / size_of::<libc::proc_fdinfo>()
    };
    // Some may be opened in between.
    let room = match ask(std::ptr::null_mut(), 0) {
        0 => return Vec::new(),
        count => count + 16,
    };
    let mut descriptors = Vec::with_capacity(room);
    let count = ask(descriptors.as_mut_ptr(), room);
    // SAFETY: the call has filled that many.
    unsafe { descriptors.set_len(count.min(room)) };
    descriptors
}

fn file(pid: libc::c_int, descriptor: RawFd) -> Option<OpenFile> {
    // SAFETY: the call fills integers and characters.
    unsafe {
        process::filled(|answer, room| {
            libc::proc_pidfdinfo(pid, descriptor, PROC_PIDFDVNODEPATHINFO, answer, room)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_this_process_are_found() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let own = std::process::id();
        assert!(Sought::at(file.path(), true).unwrap().is_open_in(own));
        let name = file.path().file_name().unwrap().to_str().unwrap();
        assert!(has_name_open(own, name));
    }
}
