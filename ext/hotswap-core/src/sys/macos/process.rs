//! Processes, as libproc shows them: to a user those of the user, to root all.

use std::mem::{size_of, MaybeUninit};

use crate::sys::credentials::Credentials;

/// Whether this platform lists processes.
pub const ARE_LISTED: bool = true;

/// All processes.
pub fn pids() -> impl Iterator<Item = u32> {
    // SAFETY: without room the call returns how many there are.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    // Some may start in between.
    let mut pids: Vec<libc::pid_t> = vec![0; usize::try_from(count).unwrap_or(0) + 64];
    let room = (pids.len() * size_of::<libc::pid_t>()) as libc::c_int;
    // SAFETY: the vector has as much room as the call is told.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast(), room) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    pids.into_iter().filter(|pid| *pid > 0).map(|pid| pid as u32)
}

/// The command line of a process: its words, each with a zero byte behind it.
pub fn command_line(pid: u32) -> Vec<u8> {
    words(&arguments(pid)).unwrap_or_default()
}

/// The number of words, the path of the program, zero bytes, the words, and the environment.
fn words(arguments: &[u8]) -> Option<Vec<u8>> {
    let (count, rest) = arguments.split_at_checked(size_of::<libc::c_int>())?;
    let count = libc::c_int::from_ne_bytes(count.try_into().ok()?);
    let path = rest.iter().position(|byte| *byte == 0)?;
    let begin = path + rest[path..].iter().position(|byte| *byte != 0)?;
    let words = rest[begin..].split_inclusive(|byte| *byte == 0);
    Some(
        words
            .take(usize::try_from(count).ok()?)
            .flatten()
            .copied()
            .collect(),
    )
}

fn arguments(pid: u32) -> Vec<u8> {
    let mut name = [libc::CTL_KERN, libc::KERN_PROCARGS2, pid as libc::c_int];
    // The limit for the arguments and the environment of a process.
    let mut buffer = vec![0; 1024 * 1024];
    let mut length = buffer.len();
    // SAFETY: the name has three numbers, and the buffer as much room as `length` says.
    let asked = unsafe {
        libc::sysctl(
            name.as_mut_ptr(),
            name.len() as libc::c_uint,
            buffer.as_mut_ptr().cast(),
            &mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    buffer.truncate(if asked == 0 { length } else { 0 });
    buffer
}

/// The name of the program of a process.
pub fn program(pid: u32) -> Option<Vec<u8>> {
    let name = information(pid)?.pbi_comm;
    let name = name.iter().take_while(|byte| **byte != 0);
    Some(name.map(|byte| *byte as u8).collect())
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    information(pid as u32).map(|information| information.pbi_ppid as i32)
}

/// When a process began, which tells it from a later process with the same pid. `None` if it has ended.
pub fn began(pid: u32) -> Option<String> {
    let information = information(pid)?;
    let runs = information.pbi_status != libc::SZOMB;
    runs.then(|| {
        format!(
            "{}.{:06}",
            information.pbi_start_tvsec, information.pbi_start_tvusec
        )
    })
}

/// Whether a process is stopped.
pub fn is_stopped(pid: u32) -> bool {
    information(pid).is_some_and(|information| information.pbi_status == libc::SSTOP)
}

/// Whether a process waits for a disk: unknown.
pub fn waits_for_a_disk(_pid: i32) -> bool {
    false
}

/// The user and the groups of a process: its groups are unknown.
pub fn credentials(_pid: u32) -> Option<Credentials> {
    None
}

fn information(pid: u32) -> Option<libc::proc_bsdinfo> {
    // SAFETY: the call fills integers.
    unsafe {
        filled(|answer, room| libc::proc_pidinfo(pid as libc::c_int, libc::PROC_PIDTBSDINFO, 0, answer, room))
    }
}

/// The structure that a call of libproc fills. The call gets its address and its length, and returns how many bytes it
/// has filled. `None` if these are not all.
///
/// # Safety
///
/// The call must fill what is a value of `T`.
pub(super) unsafe fn filled<T>(
    call: impl FnOnce(*mut libc::c_void, libc::c_int) -> libc::c_int,
) -> Option<T> {
    let mut answer = MaybeUninit::<T>::uninit();
    let room = size_of::<T>() as libc::c_int;
    let length = call(answer.as_mut_ptr().cast(), room);
    // SAFETY: the call has filled all of it.
    (length == room).then(|| unsafe { answer.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_command_line_end_before_the_environment() {
        let mut arguments = 2_i32.to_ne_bytes().to_vec();
        arguments.extend(b"/bin/sleep\0\0\0\0sleep\x0060\0HOME=/\0");
        assert_eq!(words(&arguments).unwrap(), b"sleep\x0060\0");
        assert_eq!(words(&[]), None);
    }

    #[test]
    fn this_process_is_found_with_its_parent() {
        let own = std::process::id();
        assert!(pids().any(|pid| pid == own));
        assert!(parent(own as i32).is_some() && began(own).is_some() && !is_stopped(own));
    }
}
