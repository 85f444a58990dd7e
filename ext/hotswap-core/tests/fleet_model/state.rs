//! The state: a folder, boards, locks, and the processes.
//!
//! Files are numbered in the order in which they came to the live path. File 0 is there at the start.

use super::folder::Folder;
pub(crate) use hotswap_core::fence::Phase;

/// The content of a fence file.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(crate) struct Board {
    pub phase: Phase,
    pub attempt: u8,
    pub generation: u8,
}

/// The position of a member's watcher. See `member.rs`.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Post {
    /// Not a member: not started, dead, about to boot, just forked, or without a pool of the database. Holds no lock.
    #[default]
    Absent,
    Joining,
    Admitted,
    /// The gate is open, and the watcher reads the board.
    Watching,
    Settling,
    /// The gate is closing: new units wait, units inside go on.
    Closing,
    /// No unit is inside.
    Sealed,
    Leaving,
    /// Without the fence lock, and about to take it back.
    Away,
    Back,
}

/// What a member holds of one fence.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Locks {
    /// Byte 0, shared.
    pub fence: bool,
    /// Byte 2, shared.
    pub straggler: bool,
    pub owes_straggler: bool,
    pub generation: u8,
    pub answered: u8,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Member {
    pub post: Post,
    /// Indexed by the number of the fence.
    pub locks: [Locks; 2],
    /// The fence whose board it answers.
    pub at: u8,
    /// A unit of work is inside the gate.
    pub unit: bool,
    /// The file that its connections have open.
    pub file: Option<u8>,
    /// The content whose schema it has cached. The application's classes have it, so it outlasts the membership.
    pub schema: Option<u8>,
    /// The fence that it has left, and the generation on its board then.
    pub left: Option<(u8, u8)>,
    /// It knows that its cached schema is out of date. A unit that is inside may still use it.
    pub behind: bool,
    /// The attempt whose worker it found holding the fence, and whether that was too long ago.
    pub waits_for: Option<u8>,
    pub out_of_patience: bool,
}

impl Member {
    pub(crate) fn admits_new_work(&self) -> bool {
        matches!(self.post, Post::Watching | Post::Settling)
    }

    pub(crate) fn has_joined(&self) -> bool {
        !matches!(self.post, Post::Absent | Post::Joining | Post::Admitted)
    }

    /// What it holds of the fence whose board it answers.
    pub(crate) fn here(&mut self) -> &mut Locks {
        &mut self.locks[usize::from(self.at)]
    }

    pub(crate) fn holds_a_fence(&self) -> bool {
        self.locks.iter().any(|locks| locks.fence)
    }

    pub(crate) fn holds_both_fences(&self) -> bool {
        self.locks.iter().all(|locks| locks.fence)
    }

    /// The fence that the member declares: the newest one that it took. A member that is away has released the lock,
    /// but still declares the fence.
    pub(crate) fn declares(&self) -> Option<u8> {
        match self.post {
            _ if self.locks[1].fence => Some(1),
            Post::Away => Some(self.at),
            _ => self.locks[0].fence.then_some(0),
        }
    }

    pub(crate) fn holds_fence(&self, fence: u8) -> bool {
        self.locks[usize::from(fence)].fence
    }
}

/// The position of a worker. See `worker.rs`.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Job {
    #[default]
    NotStarted,
    Queueing,
    Commanding,
    Looking,
    Planning,
    AwaitingWriteLock,
    Reaching,
    AskingToSettle,
    Settling,
    AskingToClose,
    Closing,
    Reopening,
    Locking,
    TakingInNews,
    Writing,
    Seizing,
    Leasing,
    Unlinking,
    SyncingUnlink,
    Confirming,
    Announcing,
    Committing,
    Renaming,
    SyncingRename,
    AwaitingDisk,
    Quieting,
    LettingIn,
    Dismissing,
    Reporting,
    Lingering,
    BackingOut,
    LettingBackIn,
    GivingUp,
    Ended(End),
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    Done,
    /// After its rename, while a process had come too late to the replaced file, the worker was killed or stopped
    /// waiting.
    Unguarded,
    Refused,
    /// Refused only because another worker had the database open.
    RefusedForAnotherWorker,
    Killed,
    /// A member killed it although it was within its bounds.
    KilledTooEarly,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lease {
    #[default]
    None,
    Held,
    /// Held, and a process waits to open the file.
    Broken,
}

/// Which pages of the live file will be written.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Plan {
    #[default]
    None,
    Made,
    /// Another process has committed since.
    Behind,
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Worker {
    pub job: Job,
    /// The fence that it has opened.
    pub at: u8,
    /// Byte 1, exclusive.
    pub operation: bool,
    /// Byte 2, exclusive.
    pub straggler: bool,
    /// Byte 0, exclusive.
    pub fence: bool,
    /// The file that it has open; after the rename, the replaced one.
    pub file: Option<u8>,
    /// It holds SQLite's exclusive lock on that file.
    pub seized: bool,
    pub lease: Lease,
    /// It has kept the fence for longer than it may.
    pub overdue: bool,
    pub refused_for_worker: bool,
    /// It writes into the live file instead of replacing it.
    pub in_place: bool,
    pub plan: Plan,
    /// The content that it has pushed.
    pub pushed: u8,
    /// It holds SQLite's write lock, in a transaction.
    pub write_lock: bool,
    /// It holds SQLite's write lock on the file that it has put in place.
    pub keeps_writers_out: bool,
    /// It backs out, to try again in place.
    pub again: bool,
    /// The board announces a generation that has not arrived yet.
    pub announced: bool,
}

/// A process without the gem: a sqlite3 console, or an application that is not a member.
#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stranger {
    #[default]
    Elsewhere,
    /// In open(2), blocked by a lease.
    AtTheDoor(u8),
    /// It has the file open without a lock.
    Idle(u8),
    /// It reads.
    Reading(u8),
    /// It has SQLite's write lock.
    Writing(u8),
}

impl Stranger {
    pub(crate) fn has_open(self) -> Option<u8> {
        match self {
            Stranger::Idle(file) | Stranger::Reading(file) | Stranger::Writing(file) => Some(file),
            Stranger::Elsewhere | Stranger::AtTheDoor(_) => None,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, Hash, PartialEq, Eq)]
pub(crate) struct State {
    /// Indexed by the number of the fence.
    pub boards: [Board; 2],
    /// The fence at the path.
    pub place: u8,
    pub folder: Folder,
    pub members: [Member; 2],
    pub workers: [Worker; 2],
    pub stranger: Stranger,
    /// The content whose schema the stranger has cached.
    pub stranger_schema: Option<u8>,
    pub leader_is_dead: bool,
    /// The newest content that a user was told is live.
    pub told: u8,
    /// The newest file that a process has written to.
    pub written: u8,
    /// An operator has replaced the live database by another one, and no worker has pushed over it yet. A process
    /// that has the former one open goes on using it.
    pub by_hand: bool,
}

impl State {
    pub(crate) fn board(&self, fence: u8) -> Board {
        self.boards[usize::from(fence)]
    }

    /// Whether some worker holds byte 0 of it.
    pub(crate) fn fence_is_taken(&self, fence: u8) -> bool {
        self.workers
            .iter()
            .any(|worker| worker.fence && worker.at == fence)
    }

    pub(crate) fn straggler_is_taken(&self, fence: u8) -> bool {
        self.workers
            .iter()
            .any(|worker| worker.straggler && worker.at == fence)
    }

    /// Whether SQLite lets a process write into the live file.
    pub(crate) fn write_lock_is_free(&self) -> bool {
        let live = self.folder.file;
        let worker = self
            .workers
            .iter()
            .any(|worker| worker.file == Some(live) && (worker.write_lock || worker.seized));
        let kept_out = self.workers.iter().any(|worker| worker.keeps_writers_out);
        !worker && !kept_out && self.stranger != Stranger::Writing(live)
    }

    /// Whether SQLite keeps writers out of the live file until its readers are done.
    pub(crate) fn is_read_and_keeps_writers_out(&self) -> bool {
        self.folder.rollback && self.stranger == Stranger::Reading(self.folder.file)
    }

    /// Whether SQLite keeps even readers out of the live file.
    pub(crate) fn is_locked_for_readers(&self) -> bool {
        self.folder.rollback && self.workers.iter().any(|worker| worker.write_lock)
    }

    /// A process has committed to the live file, so the plans of the workers are out of date.
    pub(crate) fn outdate_plans(&mut self) {
        for worker in &mut self.workers {
            if worker.plan == Plan::Made {
                worker.plan = Plan::Behind;
            }
        }
    }

    /// A process writes into the live file.
    pub(crate) fn write(&mut self, rules: super::rules::Rules) {
        self.folder.write(rules.has(super::rules::Rule::FolderBeforeLog));
        self.written = self.folder.file;
    }

    /// Whether members see a worker: it holds byte 1.
    pub(crate) fn a_worker_lives(&self, fence: u8) -> bool {
        self.workers
            .iter()
            .any(|worker| worker.operation && worker.at == fence)
    }

    /// A process opens the file by its path. A lease blocks it, and the holder of the lease learns of it.
    pub(crate) fn break_leases(&mut self, file: u8) -> bool {
        let mut broken = false;
        for worker in &mut self.workers {
            if worker.file == Some(file) && worker.lease != Lease::None {
                worker.lease = Lease::Broken;
                broken = true;
            }
        }
        broken
    }

    /// When a lease ends, the blocked process gets the file that the path led to when it came.
    pub(crate) fn release_lease(&mut self, holder: usize) {
        let worker = &mut self.workers[holder];
        worker.lease = Lease::None;
        if let (Some(file), Stranger::AtTheDoor(waits_for)) = (worker.file, self.stranger) {
            if file == waits_for {
                self.stranger = Stranger::Idle(file);
            }
        }
    }

    /// The kernel releases everything that the worker held.
    pub(crate) fn end_worker(&mut self, which: usize, end: End) {
        self.release_lease(which);
        self.workers[which] = Worker {
            job: Job::Ended(end),
            ..Worker::default()
        };
    }
}
