//! A gate: units of work take the shared side, and a swap takes the exclusive side. Each application process has one,
//! and one for each database of a pattern that it has open (`member/database_gate.rs`).
//!
//! A unit of work is a request, a job, a Cable command, or one opening of a database. Passing the open gate is one
//! compare-and-swap. The gate has three states:
//!
//! - **open**: every unit may enter,
//! - **closing**: new units wait and units inside go on. What they need to finish (a connection that one of their
//!   threads opens) may still enter, for as long as at least one unit is inside,
//! - **sealed**: no unit is inside, and none may enter.
//!
//! No unit waits here: [`Gate::enter`] says that it may not enter, and `lib/hotswap/gate/unit.rb` waits for
//! [`Gate::open_signal`], so that a fiber scheduler can go on.
//!
//! Counts cannot drift: a unit holds a [`Pass`], which can be given back only once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::sys::event::Event;

const CLOSED: u64 = 1 << 63;
const SEALED: u64 = 1 << 62;
const EPOCH: u64 = 1 << 61;
const WATCHED: u64 = 1 << 60;
const FIELD: u32 = 30;
const MASK: u64 = (1 << FIELD) - 1;

/// The gate. [`Gate::enter`] takes the shared side, [`Gate::close`] and [`Gate::seal`] the exclusive one.
#[derive(Debug)]
pub struct Gate {
    /// Flags in the top four bits, then two counts of thirty bits: the units that entered in epoch 1 and in epoch 0.
    state: AtomicU64,
    signals: Arc<Signals>,
}

/// What threads wait for at a gate. Gates of which at most one is closed at a time can share them.
#[derive(Debug)]
pub struct Signals {
    open: Event,
    left: Event,
}

impl Signals {
    /// The signals of open gates.
    pub fn new() -> std::io::Result<Self> {
        let signals = Self {
            open: Event::new()?,
            left: Event::new()?,
        };
        signals.open.set();
        Ok(signals)
    }
}

/// The pass of one unit of work inside the gate.
#[derive(Debug)]
pub struct Pass {
    epoch: bool,
    held: AtomicBool,
}

fn unit(epoch: bool) -> u64 {
    if epoch {
        1 << FIELD
    } else {
        1
    }
}

fn count(state: u64, epoch: bool) -> u64 {
    if epoch {
        (state >> FIELD) & MASK
    } else {
        state & MASK
    }
}

fn inside(state: u64) -> u64 {
    count(state, false) + count(state, true)
}

impl Gate {
    /// An open gate without units inside.
    pub fn new() -> std::io::Result<Self> {
        Signals::new().map(Arc::new).map(Self::with)
    }

    /// The same, with signals that it may share.
    pub fn with(signals: Arc<Signals>) -> Self {
        Self {
            state: AtomicU64::new(0),
            signals,
        }
    }

    /// Enters, unless the gate is closing or sealed.
    pub fn enter(&self) -> Option<Pass> {
        self.enter_unless(CLOSED)
    }

    /// Enters for something that a unit inside may be waiting for. Only a sealed gate refuses this.
    pub fn enter_while_closing(&self) -> Option<Pass> {
        self.enter_unless(SEALED)
    }

    fn enter_unless(&self, refused: u64) -> Option<Pass> {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & refused != 0 {
                return None;
            }
            let epoch = state & EPOCH != 0;
            match self.state.compare_exchange_weak(
                state,
                state + unit(epoch),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    return Some(Pass {
                        epoch,
                        held: AtomicBool::new(true),
                    })
                }
                Err(now) => state = now,
            }
        }
    }

    /// Gives a pass back. A second call does nothing. Returns whether this was the first.
    pub fn leave(&self, pass: &Pass) -> bool {
        if !pass.held.swap(false, Ordering::AcqRel) {
            return false;
        }
        let before = self.state.fetch_sub(unit(pass.epoch), Ordering::Release);
        if before & (CLOSED | WATCHED) != 0 {
            self.signals.left.set();
        }
        true
    }

    /// The number of units inside.
    pub fn inside(&self) -> u64 {
        inside(self.state.load(Ordering::Acquire))
    }

    /// Whether new units currently wait.
    pub fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }

    /// The signal that is set while the gate is open.
    pub fn open_signal(&self) -> &Event {
        &self.signals.open
    }

    /// Leaves the gate open and waits until the units that are inside *now* have left, or until no unit is inside.
    ///
    /// Calls `go_on` at least every 50 ms. If it returns false, the wait ends unfinished.
    pub fn settle(&self, mut go_on: impl FnMut() -> bool) -> bool {
        self.state.fetch_or(WATCHED, Ordering::AcqRel);
        // Units of the epoch before the last one may still be inside, after an attempt that was given up.
        let settled = self.wait_for_epoch(None, &mut go_on) && {
            let before = self.state.fetch_xor(EPOCH, Ordering::AcqRel);
            self.wait_for_epoch(Some(before & EPOCH != 0), &mut go_on)
        };
        self.state.fetch_and(!WATCHED, Ordering::AcqRel);
        settled
    }

    fn wait_for_epoch(&self, epoch: Option<bool>, go_on: &mut impl FnMut() -> bool) -> bool {
        loop {
            self.signals.left.clear();
            let state = self.state.load(Ordering::Acquire);
            let epoch = epoch.unwrap_or(state & EPOCH == 0);
            if count(state, epoch) == 0 || inside(state) == 0 {
                return true;
            }
            if !go_on() {
                return false;
            }
            self.signals.left.wait(Duration::from_millis(50));
        }
    }

    /// Begins to close: new units wait from now on. Returns false if another thread has already closed the gate.
    pub fn close(&self) -> bool {
        if self.state.fetch_or(CLOSED, Ordering::AcqRel) & CLOSED != 0 {
            return false;
        }
        self.signals.open.clear();
        true
    }

    /// Waits until no unit is inside and seals the gate. Returns false at the deadline; the gate then stays closing.
    pub fn seal(&self, deadline: Instant) -> bool {
        loop {
            self.signals.left.clear();
            let state = self.state.load(Ordering::Acquire);
            if inside(state) == 0 {
                let sealed = state | SEALED;
                if self
                    .state
                    .compare_exchange(state, sealed, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
                {
                    return true;
                }
                continue;
            }
            let remaining = deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return false;
            }
            self.signals.left.wait(remaining);
        }
    }

    /// Opens the gate again, and lets all waiting units enter.
    pub fn reopen(&self) {
        self.state.fetch_and(!(CLOSED | SEALED), Ordering::AcqRel);
        self.signals.open.set();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn units_pass_an_open_gate_side_by_side() {
        let gate = Gate::new().unwrap();
        let passes: Vec<_> = (0..5).map(|_| gate.enter().unwrap()).collect();
        assert_eq!(gate.inside(), 5);
        passes.iter().for_each(|pass| assert!(gate.leave(pass)));
        assert_eq!(gate.inside(), 0);
    }

    #[test]
    fn a_pass_is_given_back_once_only() {
        let gate = Gate::new().unwrap();
        let (first, second) = (gate.enter().unwrap(), gate.enter().unwrap());
        assert!(gate.leave(&first));
        assert!(!gate.leave(&first));
        assert_eq!(gate.inside(), 1);
        gate.leave(&second);
    }

    #[test]
    fn a_closing_gate_keeps_new_units_out_and_admits_what_those_inside_need() {
        let gate = Gate::new().unwrap();
        let request = gate.enter().unwrap();
        assert!(gate.close());
        assert!(gate.enter().is_none());
        let opening = gate.enter_while_closing().unwrap();
        assert!(!gate.seal(soon()));
        gate.leave(&request);
        assert!(!gate.seal(soon()), "the connection is being opened still");
        gate.leave(&opening);
        assert!(gate.seal(soon()));
        assert!(gate.enter_while_closing().is_none(), "sealed means no unit");
    }

    #[test]
    fn the_open_signal_is_readable_exactly_while_the_gate_is_open() {
        let gate = Gate::new().unwrap();
        assert!(gate.open_signal().wait(Duration::ZERO));
        gate.close();
        assert!(!gate.open_signal().wait(Duration::ZERO));
        gate.reopen();
        assert!(gate.open_signal().wait(Duration::ZERO));
        assert!(gate.enter().is_some());
    }

    #[test]
    fn only_one_can_close_it() {
        let gate = Gate::new().unwrap();
        assert!(gate.close());
        assert!(!gate.close());
        gate.reopen();
        assert!(gate.close());
    }

    #[test]
    fn settling_waits_for_those_who_were_inside_and_not_for_newcomers() {
        let gate = Arc::new(Gate::new().unwrap());
        let old = gate.enter().unwrap();
        let settling = thread::spawn({
            let gate = gate.clone();
            let deadline = later();
            move || gate.settle(|| Instant::now() < deadline)
        });
        while gate.state.load(Ordering::Acquire) & EPOCH == 0 {
            thread::yield_now();
        }
        let newcomer = gate.enter().unwrap();
        gate.leave(&old);
        assert!(settling.join().unwrap());
        assert_eq!(gate.inside(), 1);
        gate.leave(&newcomer);
    }

    #[test]
    fn settling_that_is_given_up_leaves_a_gate_that_settles_later() {
        let gate = Gate::new().unwrap();
        let old = gate.enter().unwrap();
        assert!(!gate.settle(|| false));
        assert!(!gate.settle(|| false));
        gate.leave(&old);
        assert!(gate.settle(|| false));
    }

    #[test]
    fn counts_hold_under_threads_that_come_and_go_while_it_closes_and_opens() {
        let gate = Arc::new(Gate::new().unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (gate, stop) = (gate.clone(), stop.clone());
                thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        match gate.enter() {
                            Some(pass) => assert!(gate.leave(&pass)),
                            None => assert!(gate.open_signal().wait(Duration::from_secs(10))),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..200 {
            assert!(gate.close());
            assert!(gate.seal(later()));
            assert_eq!(gate.inside(), 0);
            gate.reopen();
        }
        stop.store(true, Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(gate.inside(), 0);
    }
}
