//! How long a worker may keep a member out.

use std::time::{Duration, Instant};

/// The bound is that of one attempt, from where this process first finds the fence taken in it. A process that
/// was stopped for longer would otherwise wake up and kill the worker of a later attempt, which is in time.
#[derive(Debug)]
pub(super) struct Patience {
    longest: Duration,
    waiting: Option<(u64, Instant)>,
}

impl Patience {
    pub fn new(longest: Duration) -> Self {
        Self {
            longest,
            waiting: None,
        }
    }

    /// Whether the worker of `attempt`, which is found in the way at `now`, has been there for too long.
    pub fn ends(&mut self, attempt: u64, now: Instant) -> bool {
        match self.waiting {
            Some((same, since)) if same == attempt => now > since + self.longest,
            _ => {
                self.waiting = Some((attempt, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(500);

    #[test]
    fn a_worker_that_stays_for_longer_than_it_may_is_past_bearing() {
        let begun = Instant::now();
        let mut patience = Patience::new(PAUSE);
        assert!(!patience.ends(7, begun));
        assert!(!patience.ends(7, begun + PAUSE));
        assert!(patience.ends(7, begun + PAUSE + Duration::from_millis(1)));
    }

    #[test]
    fn the_worker_of_a_later_attempt_gets_the_same_time() {
        let begun = Instant::now();
        let mut patience = Patience::new(PAUSE);
        assert!(!patience.ends(7, begun));
        assert!(!patience.ends(8, begun + 10 * PAUSE));
        assert!(!patience.ends(8, begun + 11 * PAUSE));
        assert!(patience.ends(8, begun + 12 * PAUSE));
    }
}
