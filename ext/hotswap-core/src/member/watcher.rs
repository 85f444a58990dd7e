//! The thread that answers the board: settle, close, drain, disconnect, let go; then take the lock back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::database_gate::DatabaseGate;
use super::hold::Hold;
use super::membership::Membership;
use super::outdated::{CatchingUp, Missed};
use super::patience::Patience;
use super::shared::Shared;
use crate::fence::report::{self, Why};
use crate::fence::{Board, Fence, Lock, Phase};
use crate::sys::file_watch::FileWatches;
use crate::sys::identity::Identity;
use crate::sys::poll::wait_readable;
use crate::sys::thread::leave_signals_to_others;

/// How often the thread reads the board if the kernel reports posts, in case the kernel misses one.
pub const PATIENT: Duration = Duration::from_secs(2);
/// How often the thread checks whether a fence is back where it was.
const LOST: Duration = Duration::from_millis(200);
/// How often the thread reads the board if the kernel cannot report posts.
const IMPATIENT: Duration = Duration::from_millis(10);

pub(super) fn start(shared: Arc<Shared>) -> io::Result<()> {
    std::thread::Builder::new()
        .name("hotswap-watcher".into())
        .spawn(move || {
            leave_signals_to_others();
            Watcher::new(shared).run();
        })?;
    Ok(())
}

struct Watcher {
    shared: Arc<Shared>,
    watches: Option<FileWatches>,
    /// When to check next whether the fences are where they were.
    next_look: Instant,
}

impl Watcher {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            watches: FileWatches::new(),
            next_look: Instant::now() + PATIENT,
        }
    }

    fn run(mut self) {
        while !self.shared.stopping.load(Ordering::Acquire) {
            self.shared.woken.clear();
            self.look();
            let memberships = self.shared.memberships();
            self.watch(&memberships);
            let (mut owing, mut closed) = (false, Vec::new());
            for one in &memberships {
                self.answer(one);
                owing |= one.owes_straggler_lock.load(Ordering::Relaxed);
                if let Some(gate) = one.gate.as_ref().filter(|gate| gate.take_note_of_close()) {
                    closed.push((one.fence.identity(), one.database(), gate.clone()));
                }
            }
            drop(memberships);
            self.shared
                .catch_up
                .attempt(&self.shared.gate, &*self.shared.host);
            for (fence, database, gate) in closed {
                self.leave_if_unused(fence, &database, &gate);
            }
            let until_catch_up = self.shared.catch_up.due_in().unwrap_or(PATIENT);
            let until_next_look = self.next_look.saturating_duration_since(Instant::now());
            self.wait(match owing {
                true => Duration::from_millis(2),
                false => until_next_look.min(until_catch_up),
            });
        }
    }

    /// Follows fences that were replaced. Does not run after each post, because that takes long with many databases.
    fn look(&mut self) {
        if Instant::now() >= self.next_look {
            let all_in_place = self.shared.fleets().follow_all();
            self.next_look = Instant::now() + if all_in_place { PATIENT } else { LOST };
        }
    }

    /// Asks the kernel to report posts, and the removal of a fence.
    fn watch(&mut self, memberships: &[Arc<Membership>]) {
        for one in memberships {
            if one.watched.swap(true, Ordering::Relaxed) {
                continue;
            }
            let watches = self.watches.as_ref();
            match watches.and_then(|watches| watches.watch(one.fence.file())) {
                Some(watch) => *one.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(watch),
                None => self.watches = None,
            }
        }
    }

    fn wait(&mut self, at_most: Duration) {
        let woken = self.shared.woken.as_fd();
        match &self.watches {
            Some(watches) => {
                if wait_readable(&[woken, watches.as_fd()], at_most) && self.forget_events() {
                    self.next_look = Instant::now();
                }
            }
            None => {
                wait_readable(&[woken], at_most.min(IMPATIENT));
            }
        }
    }

    /// Reads the pending events. Returns whether one of them was not a post: a fence was removed or moved. The
    /// content of a post is on the board.
    fn forget_events(&self) -> bool {
        self.watches.as_ref().is_some_and(FileWatches::forget)
    }

    /// Waits for a post while the worker waits for this process, so it must return quickly.
    fn wait_for_post(&self, at_most: Duration) {
        let watches: Option<BorrowedFd<'_>> = self.watches.as_ref().map(|watches| watches.as_fd());
        match watches {
            Some(watches) if wait_readable(&[watches], at_most) => {
                self.forget_events();
            }
            Some(_) => {}
            None => std::thread::sleep(at_most.min(Duration::from_millis(1))),
        }
    }

    fn answer(&self, one: &Membership) {
        let board = one.fence.board();
        if board.phase == Phase::Settle {
            // A folder that was moved and replaced by a link has the same fence under another path.
            self.shared.fleets().follow(one);
        }
        match board.phase {
            Phase::Settle if worker_lives(&one.fence) => self.settle(one, board),
            Phase::Close
                if worker_lives(&one.fence) && board.attempt != one.answered.load(Ordering::Relaxed) =>
            {
                one.answered.store(board.attempt, Ordering::Relaxed);
                self.close(one, board);
            }
            Phase::Quiet | Phase::Settle | Phase::Close | Phase::Moving | Phase::Moved => {}
        }
        let board = one.fence.board();
        if !matches!(board.phase, Phase::Settle) || !worker_lives(&one.fence) {
            let owes = one.owes_straggler_lock.load(Ordering::Relaxed);
            one.owes_straggler_lock.store(
                owes && !one.fence.try_shared(Lock::Straggler).got(),
                Ordering::Relaxed,
            );
        }
    }

    /// Waits for the work that is running now. The gate stays open.
    fn settle(&self, one: &Membership, board: Board) {
        if one.owes_straggler_lock.load(Ordering::Relaxed) {
            return;
        }
        let asked_for = || one.fence.board() == board && worker_lives(&one.fence);
        let asked_at = Instant::now();
        if one.prepared_for.swap(board.report, Ordering::Relaxed) != board.report {
            self.shared.host.prepare(&one.database());
        }
        let mut told = asked_at;
        let own_gate = self.own_gate(one, &board);
        let gate = own_gate.map_or(&*self.shared.gate, DatabaseGate::gate);
        let settled = gate.settle(|| {
            if told.elapsed() >= Duration::from_millis(500) {
                told = Instant::now();
                self.tell(one, &board, Why::Working, asked_at);
            }
            asked_for()
        });
        if settled {
            one.owes_straggler_lock.store(true, Ordering::Relaxed);
            one.fence.unlock(Lock::Straggler);
        }
    }

    /// The gate to close for this database, if the gate of the process can stay open.
    fn own_gate<'a>(&self, one: &'a Membership, board: &Board) -> Option<&'a DatabaseGate> {
        let gate = one.gate.as_deref()?;
        // To forget a schema means to change classes that units of other databases use.
        let suffices =
            !board.schema_changes && !gate.was_used_unseen() && self.shared.fleets().is_unrelated(one);
        suffices.then_some(gate)
    }

    /// Closes the gate, waits for the work inside, closes the connections and releases the lock. Then comes back, no
    /// matter how the attempt ended.
    fn close(&self, one: &Membership, board: Board) {
        let closed_at = Instant::now();
        let deadline = closed_at + board.max_pause;
        let everything = self.own_gate(one, &board).is_none();
        let mut hold = Hold::new(&self.shared.gate, one.gate.as_deref());
        let gone = hold
            .take(everything, deadline)
            .and_then(|()| self.let_go(one, &board, deadline));
        let in_time = one.fence.board() == board;
        let mut moved = None;
        if gone.is_ok() {
            self.shared.fleets().leave_what_was_replaced_by(one);
            self.wait_for_the_worker(one, board, deadline);
            moved = self.take_back(one);
        }
        hold.release();
        // Runs with the gate open, so that no request waits for the report.
        match (gone, moved) {
            (_, Some(moved)) => self.shared.host.swapped(moved, closed_at.elapsed()),
            (Err(why), None) => self.tell(one, &board, why, closed_at),
            (Ok(()), None) if !in_time => self.tell(one, &board, Why::OutlastsThePause, closed_at),
            (Ok(()), None) => {}
        }
    }

    fn let_go(&self, one: &Membership, board: &Board, deadline: Instant) -> Result<(), Why> {
        // If the worker had stopped waiting by the time the last unit left, it would get the lock too late.
        if one.fence.board() != *board {
            return Err(Why::OutlastsThePause);
        }
        let remaining = deadline.saturating_duration_since(Instant::now());
        let disconnected = self.shared.host.disconnect(&one.database(), remaining);
        disconnected.map_err(Why::Connection)?;
        one.gate.iter().for_each(|gate| gate.forget_uses());
        one.fence.unlock(Lock::Fence);
        Ok(())
    }

    /// Leaves the fleet if the application has closed its last connection, and keeps no pool for another one. While
    /// units are inside, tries again later.
    fn leave_if_unused(&self, fence: Identity, database: &Path, gate: &DatabaseGate) {
        let host = &self.shared.host;
        match host.keeps_nothing_of(database) {
            Some(true) => {}
            Some(false) => return,
            None => return gate.note_close(),
        }
        // A thread that opens the database now waits, and then joins again.
        gate.gate().close();
        let left = gate.gate().seal(Instant::now()) && host.keeps_nothing_of(database) == Some(true) && {
            let unwatch = |one: &Membership| {
                let watch = one.watch.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let (Some(watches), Some(watch)) = (&self.watches, watch) {
                    watches.unwatch(watch);
                }
            };
            self.shared.fleets().leave(fence, unwatch)
        };
        match left {
            true => gate.abandon(),
            false => gate.note_close(),
        }
        gate.gate().reopen();
    }

    fn wait_for_the_worker(&self, one: &Membership, asked: Board, deadline: Instant) {
        while Instant::now() < deadline && worker_lives(&one.fence) {
            let board = one.fence.board();
            let done = matches!(board.phase, Phase::Quiet | Phase::Moved) || board.attempt != asked.attempt;
            if done {
                return;
            }
            self.wait_for_post(Duration::from_millis(5));
        }
    }

    /// Takes the lock back: the only way to reopen. Kills a worker that holds it past all bounds. If the generation has
    /// changed, makes the application forget the schema, and returns what it has yet to catch up with.
    fn take_back(&self, one: &Membership) -> Option<CatchingUp> {
        let mut nap = Duration::from_micros(20);
        let mut patience = Patience::default();
        loop {
            // Read before the attempt: the worker in the way belongs to this attempt or to a later one.
            let board = one.fence.board();
            if one.fence.try_shared(Lock::Fence).got() {
                break;
            }
            patience.kill_if_overdue(&one.fence, &board);
            std::thread::sleep(nap);
            nap = (nap * 2).min(Duration::from_millis(2));
        }
        let board = one.fence.board();
        if board.phase == Phase::Moving {
            one.fence.finish_what_a_dead_worker_began(board.max_pause);
        }
        let missed = Missed::since(one.generation.load(Ordering::Relaxed), &board);
        if missed == Missed::Nothing {
            return None;
        }
        // Comes before the generation: a child that is forked from now on inherits both.
        let catching_up = self.shared.outdated.add(one.database(), missed);
        one.generation.store(board.generation, Ordering::Relaxed);
        if missed == Missed::Schema {
            self.shared.host.refresh(&one.database());
            self.shared.catch_up.end(&one.database());
        }
        Some(catching_up)
    }

    /// Tells the worker why it has to wait, and names the units that were inside when it `asked` and still are.
    fn tell(&self, one: &Membership, board: &Board, why: Why, asked: Instant) {
        let running = match why {
            Why::Working | Why::OutlastsThePause => {
                let user = self.own_gate(one, board).map(DatabaseGate::database);
                self.shared.host.running(user, asked.elapsed())
            }
            Why::SwapLock | Why::Connection(_) => Vec::new(),
        };
        report::send(&one.database(), board, why, running);
    }
}

fn worker_lives(fence: &Fence) -> bool {
    fence.exclusive_holder(Lock::Operation).is_some()
}
