//! How much memory is free, and how much of this process's writes may wait in memory for the disk.
//!
//! Past a threshold the kernel writes back by itself and as fast as it can. Past twice that threshold it stops every
//! process that writes, including the application. A container has its own threshold, computed from the memory that
//! it may still take.

use std::fs;
use std::path::Path;

use nix::unistd::{sysconf, SysconfVar};

/// The kernel's default `vm.dirty_background_ratio` is 1 / 10. This process takes half of that.
const SHARE: u64 = 20;

/// How many bytes of this process's writes may be in memory alone: half of what is left until the kernel begins to
/// write by itself. Zero if the kernel does not report it.
pub fn may_wait() -> u64 {
    let machine = fs::read_to_string("/proc/vmstat")
        .ok()
        .and_then(|vmstat| of_machine(&vmstat));
    let group = left_in_group().map(|left| left / SHARE);
    machine.map_or(0, |machine| group.map_or(machine, |group| machine.min(group)))
}

/// How much memory this process can still take, in bytes: the free memory of the machine, or what its control groups
/// leave. `None` if neither is known.
pub fn left() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    of_meminfo(&meminfo).into_iter().chain(left_in_group()).min()
}

fn of_meminfo(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// What the control groups of this process may still take, in bytes. `None` if none of them has a limit.
fn left_in_group() -> Option<u64> {
    let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    of_group(Path::new("/sys/fs/cgroup"), &memberships)
}

/// How many processes the kernel has ended for lack of memory since the machine was started.
pub fn kills() -> Option<u64> {
    value(&fs::read_to_string("/proc/vmstat").ok()?, "oom_kill")
}

/// The memory of this process that counts towards RLIMIT_DATA, in bytes.
pub fn data() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// How much free memory stays in the heap, in bytes: enough for the largest cache that SQLite gets.
#[cfg(target_env = "gnu")]
const KEPT: libc::c_int = 64 * 1024 * 1024;

/// Makes all threads take their memory from one heap, which keeps what they free. Otherwise glibc gives each thread a
/// heap of its own, and memory that one thread has freed is of no use to the others.
///
/// This concerns glibc alone. musl has one heap anyway. If the application preloads another allocator, such as jemalloc,
/// that allocator keeps its own rules: the worker then works the same, and may take more memory.
pub fn use_one_heap() {
    // SAFETY: takes no pointer, and glibc locks its settings.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
    }
}

fn of_machine(vmstat: &str) -> Option<u64> {
    let threshold = value(vmstat, "nr_dirty_background_threshold")?;
    let dirty = value(vmstat, "nr_dirty")?;
    Some(threshold.saturating_sub(dirty) * page_size() / 2)
}

fn page_size() -> u64 {
    let size = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).unwrap_or(4096)
}

/// The file names of one version of control groups.
struct Names {
    /// The folder of the memory groups, below the root.
    root: &'static str,
    limits: &'static [&'static str],
    used: &'static str,
    /// A line of `memory.stat`.
    cache: &'static str,
}

const SECOND: Names = Names {
    root: "",
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    cache: "file",
};

const FIRST: Names = Names {
    root: "memory",
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    cache: "total_cache",
};

/// `None` if no group of this process has a limit.
fn of_group(root: &Path, memberships: &str) -> Option<u64> {
    let of_line = |line: &str| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let names = match controllers {
            "" => SECOND,
            controllers if controllers.split(',').any(|controller| controller == "memory") => FIRST,
            _ => return None,
        };
        let root = root.join(names.root);
        // A container may see a path of the host's, while its own group is mounted as the root.
        let mut folders = vec![root.clone()];
        folders.extend(
            Path::new(path)
                .strip_prefix("/")
                .ok()?
                .iter()
                .scan(root, |folder, part| {
                    folder.push(part);
                    Some(folder.clone())
                }),
        );
        folders
            .into_iter()
            .filter_map(|folder| available(&folder, &names))
            .min()
    };
    memberships.lines().filter_map(of_line).min()
}

/// What a group may still take, including the part of its cache that the kernel can reclaim.
fn available(folder: &Path, names: &Names) -> Option<u64> {
    let number = |name: &str| {
        fs::read_to_string(folder.join(name))
            .ok()?
            .trim()
            .parse::<u64>()
            .ok()
    };
    let limit = names.limits.iter().filter_map(|name| number(name)).min()?;
    let cache = value(&fs::read_to_string(folder.join("memory.stat")).ok()?, names.cache)?;
    Some(limit.saturating_sub(number(names.used)?).saturating_add(cache))
}

/// The value of a line "name value".
fn value(lines: &str, name: &str) -> Option<u64> {
    let of_line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    lines.lines().find_map(of_line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_what_it_ends() {
        let counters = "nr_free_pages 12\noom_kill 3\noom_kill_other 4\n";
        assert_eq!(value(counters, "oom_kill"), Some(3));
        assert_eq!(value("nr_free_pages 12\n", "oom_kill"), None);
        assert!(kills().is_some() && data().is_some_and(|data| data > 0));
    }

    const MB: u64 = 1024 * 1024;

    fn group(folder: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(folder).unwrap();
        for (name, content) in files {
            fs::write(folder.join(name), content).unwrap();
        }
    }

    #[test]
    fn half_of_what_is_left_on_the_machine_is_ours() {
        let vmstat = "nr_dirty 1000\nnr_dirty_threshold 90000\nnr_dirty_background_threshold 41000\n";
        assert_eq!(of_machine(vmstat), Some(20_000 * page_size()));
        let past_it = "nr_dirty 42000\nnr_dirty_background_threshold 41000\n";
        assert_eq!(of_machine(past_it), Some(0));
        assert_eq!(of_machine("nr_free_pages 1\n"), None);
    }

    #[test]
    fn what_the_machine_has_left_is_what_it_can_make_available() {
        assert_eq!(
            of_meminfo("MemFree: 1 kB\nMemAvailable:   2048 kB\n"),
            Some(2 * MB)
        );
        assert_eq!(of_meminfo("MemFree: 1 kB\n"), None);
    }

    #[test]
    fn the_narrowest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let limit = (512 * MB).to_string();
        let used = (400 * MB).to_string();
        let stat = format!("anon 1\nfile {}\nfile_mapped 7\n", 88 * MB);
        let files = [
            ("memory.max", &*limit),
            ("memory.high", "max"),
            ("memory.current", &used),
            ("memory.stat", &stat),
        ];
        group(&root.path().join("site"), &files);
        group(
            &root.path().join("site/web"),
            &[
                ("memory.max", "max"),
                ("memory.current", "1"),
                ("memory.stat", "file 0\n"),
            ],
        );
        assert_eq!(of_group(root.path(), "0::/site/web\n"), Some(200 * MB));
    }

    #[test]
    fn a_container_that_is_told_the_path_of_the_host_has_its_group_at_the_root() {
        let root = tempfile::tempdir().unwrap();
        let limit = (100 * MB).to_string();
        let stat = format!("cache 0\ntotal_cache {}\n", 20 * MB);
        let files = [
            ("memory.limit_in_bytes", &*limit),
            ("memory.usage_in_bytes", &limit),
            ("memory.stat", &stat),
        ];
        group(&root.path().join("memory"), &files);
        assert_eq!(
            of_group(root.path(), "5:cpu:/\n4:memory:/docker/0815\n0::/\n"),
            Some(20 * MB)
        );
    }

    #[test]
    fn a_group_without_a_limit_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        group(
            root.path(),
            &[
                ("memory.max", "max"),
                ("memory.current", "5"),
                ("memory.stat", "file 0\n"),
            ],
        );
        assert_eq!(of_group(root.path(), "0::/\n"), None);
        assert_eq!(of_group(root.path(), "nothing of the kind"), None);
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod heap_tests {
    use super::*;
    use crate::testing::ignored_test;

    /// How many heaps glibc has.
    fn heaps() -> usize {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = std::ffi::CString::new(file.path().to_str().unwrap()).unwrap();
        // SAFETY: both strings end with a zero, and the stream is closed once.
        unsafe {
            let stream = libc::fopen(name.as_ptr(), c"w".as_ptr());
            assert!(!stream.is_null());
            assert_eq!(libc::malloc_info(0, stream), 0);
            libc::fclose(stream);
        }
        fs::read_to_string(file.path())
            .unwrap()
            .matches("<heap nr=")
            .count()
    }

    /// How many heaps glibc makes for four threads that need memory at the same time.
    fn heaps_of_four_threads() -> usize {
        let (before, all) = (heaps(), std::sync::Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let taken = vec![1_u8; 100_000];
                    all.wait();
                    assert_eq!(taken[99_999], 1);
                });
            }
        });
        heaps() - before
    }

    #[test]
    #[ignore = "it changes the heap of its process: the next test runs it in another one"]
    fn each_thread_has_a_heap() {
        assert!(heaps_of_four_threads() > 1);
    }

    #[test]
    #[ignore = "it changes the heap of its process: the next test runs it in another one"]
    fn all_threads_share_a_heap() {
        use_one_heap();
        assert_eq!(heaps_of_four_threads(), 0);
    }

    #[test]
    fn threads_share_one_heap() {
        for test in ["each_thread_has_a_heap", "all_threads_share_a_heap"] {
            let run = ignored_test(module_path!(), test).output().unwrap();
            assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        }
    }
}
