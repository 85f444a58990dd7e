//! Whether the kernel killed a worker for lack of memory. A worker that ends without a report was killed: it reports
//! every other end.

use std::fmt;

use super::memory;

/// How many processes the kernel has ended for lack of memory since the machine was started. `None` if the kernel
/// does not report it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutOfMemory(Option<u64>);

impl OutOfMemory {
    pub(crate) fn so_far() -> Self {
        Self(memory::kills())
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
    fn the_kernel_is_suspected_where_its_count_has_grown() {
        let unknown = [Killer::Unknown, Killer::PerhapsKernel];
        assert!(unknown.contains(&OutOfMemory(Some(u64::MAX)).suspect()));
        assert_eq!(OutOfMemory(None).suspect(), Killer::PerhapsKernel);
    }
}
