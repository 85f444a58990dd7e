//! The rules of the protocol. Without any one of them the model has to break.

/// The rules that `src/fence`, `src/member` and `src/worker` follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A member lets go only when no work is inside its gate.
    DrainFirst,
    /// A member reopens only after it has the fence lock back, no matter why it reopens.
    ReturnByLock,
    /// No member reopens because the leader died.
    LeaderDecidesNothing,
    /// A worker moves the file only with the fence lock, exclusive.
    MoveWithFence,
    /// A worker looks at the live database only while it holds the operation lock.
    LookAsWorker,
    /// The board's generation changes before the file does.
    GenerationFirst,
    /// An announcement whose move did not happen is removed from the board.
    WithdrawTheAnnouncement,
    /// A journal is removed only after SQLite has read the old file, so that the journal has nothing left to undo.
    ReadBeforeUnlink,
    /// The removal of the WAL is on the disk before the rename.
    SyncTheUnlink,
    /// The rename is on the disk before the worker reports success.
    SyncTheRename,
    /// A member that finds the move of a dead worker syncs the folder before it opens the database.
    WhoFindsMovingSyncs,
    /// So does the next worker, before it changes the board.
    NextWorkerSyncs,
    /// Members that are let in before the rename is durable cannot write into a database with a rollback journal.
    KeepWritersOut,
    /// SQLite's own rule: it syncs the folder before the first row is in a new WAL.
    FolderBeforeLog,
    /// The kernel proves that no other process has the file open.
    Lease,
    /// The replaced file stays locked until no process has it open.
    Linger,
    /// In place: the new content is written in one transaction.
    OneTransaction,
    /// In place: pages committed since the plan are overwritten, too, or the worker plans again.
    TakeInTheNews,
    /// In place: the worker looks for these pages under the write lock.
    LockThenLook,
    /// In place: the new schema number is one that no connection knows yet.
    NewSchemaNumber,
    /// In place: the commit is on the disk when it returns.
    SyncTheCommit,
    /// The worker reports success after the commit, in either way.
    CommitThenTell,
    /// A worker that keeps the fence past all bounds is killed.
    KillTheOverdue,
    /// The bounds apply to one attempt: a member that slept through one starts its clock again.
    PatienceBeginsAnew,
    /// A worker waits until every member holds the fence that it has opened.
    WaitForEveryFence,
    /// A worker moves the file only while its fence is at the path.
    FenceInPlace,
    /// A process that boots while the straggler lock is taken joins without it, and takes it later.
    JoinWithoutStraggler,
    /// A process that leaves the fleet remembers the generation, and compares it when it joins again.
    RememberTheGeneration,
    /// What a process has missed outlasts its membership, if it leaves again before it has caught up.
    CatchUpLater,
}

/// All rules, or all but one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub without: Option<Rule>,
}

impl Rules {
    pub(crate) fn has(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}
