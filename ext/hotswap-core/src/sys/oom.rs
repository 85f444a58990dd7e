//! What is known about a worker that ended without a report. Such a worker was killed: it reports every other end.

use std::fmt;
use std::fs;

/// How many processes the kernel has ended for lack of memory since the machine was started. `None` if the kernel
/// does not report it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory(Option<u64>);

impl OutOfMemory {
    pub(crate) fn so_far() -> Self {
        let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
        Self(count(&counters))
    }

    /// What has killed a worker that was started when this was counted.
    pub(crate) fn suspect(self) -> Killer {
        match (self.0, Self::so_far().0) {
            (Some(before), Some(now)) if now > before => Killer::Kernel,
            (Some(_), Some(_)) => Killer::Unknown,
            _ => Killer::PerhapsKernel,
        }
    }
}

fn count(counters: &str) -> Option<u64> {
    counters
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// What killed the worker, according to the kernel's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killer {
    Kernel,
    PerhapsKernel,
    Unknown,
}

impl fmt::Display for Killer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Killer::Kernel => "SIGKILL, probably by the kernel for lack of memory: see dmesg",
            Killer::PerhapsKernel => "SIGKILL, perhaps by the kernel for lack of memory: see dmesg",
            Killer::Unknown => "SIGKILL",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_what_it_ends() {
        assert_eq!(count("nr_free_pages 12\noom_kill 3\noom_kill_other 4\n"), Some(3));
        assert_eq!(count("nr_free_pages 12\n"), None);
        assert!(OutOfMemory::so_far().0.is_some());
    }

    #[test]
    fn the_kernel_is_suspected_where_its_count_has_grown() {
        assert_eq!(OutOfMemory(Some(u64::MAX)).suspect(), Killer::Unknown);
        assert_eq!(OutOfMemory(None).suspect(), Killer::PerhapsKernel);
    }
}
