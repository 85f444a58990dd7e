//! Whether the calling thread gets a processor, according to the kernel (`Documentation/scheduler/sched-stats.rst`).

use std::fs;
use std::time::{Duration, Instant};

/// How often to read the kernel's figures. Each reading covers the time since the one before.
const PERIOD: Duration = Duration::from_secs(1);

/// How a thread has spent the time since the last reading. A new thread has no figures yet.
#[derive(Debug)]
pub struct Processor {
    asked: Instant,
    before: Option<Account>,
    waits: bool,
}

/// Nanoseconds since the thread began.
#[derive(Clone, Copy, Debug)]
struct Account {
    ran: u64,
    waited: u64,
}

impl Processor {
    /// The processor time of the calling thread, from now on.
    pub fn of_this_thread() -> Self {
        Self {
            asked: Instant::now(),
            before: None,
            waits: false,
        }
    }

    /// Whether the calling thread waited for a processor longer than it ran, in the last period. False if the kernel
    /// does not count that.
    pub fn is_awaited(&mut self) -> bool {
        if self.before.is_some() && self.asked.elapsed() < PERIOD {
            return self.waits;
        }
        let now = Account::of_this_thread();
        self.waits = matches!((self.before, now), (Some(before), Some(now)) if now.waited_longer(before));
        self.asked = Instant::now();
        self.before = now;
        self.waits
    }
}

impl Account {
    fn of_this_thread() -> Option<Self> {
        let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let mut numbers = text.split_whitespace().map(str::parse);
        Some(Self {
            ran: numbers.next()?.ok()?,
            waited: numbers.next()?.ok()?,
        })
    }

    fn waited_longer(self, before: Self) -> bool {
        self.waited.saturating_sub(before.waited) > self.ran.saturating_sub(before.ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_that_ran_for_the_shorter_part_of_the_time() {
        let before = Account { ran: 10, waited: 10 };
        assert!(Account { ran: 11, waited: 12 }.waited_longer(before));
        assert!(!Account { ran: 12, waited: 11 }.waited_longer(before));
        assert!(!before.waited_longer(before));
    }

    #[test]
    fn the_kernel_keeps_the_account_of_a_thread_that_runs() {
        let before = Account::of_this_thread().expect("an account");
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(20) {}
        assert!(Account::of_this_thread().expect("an account").ran > before.ran);
    }
}
