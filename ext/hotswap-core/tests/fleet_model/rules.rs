//! The rules of the protocol. The model can be run without any one of them, and then has to break.

/// What `src/fence`, `src/member` and `src/worker` do, rule by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A member lets go only when no work is inside its gate.
    DrainFirst,
    /// A member reopens, for whatever reason, only by getting the fence lock back.
    ReturnByLock,
    /// Nobody reopens because the leader died.
    LeaderIsNobody,
    /// A worker moves the file only with the fence lock, exclusive.
    MoveWithFence,
    /// A worker looks at the live database only as the holder of the operation lock.
    LookAsCommander,
    /// The board's generation changes before the file does.
    GenerationFirst,
    /// What was announced, and did not come, is taken off the board.
    TakeBackTheNews,
    /// A journal is removed only when SQLite has read the old file: then there is nothing left for it to take back.
    ReadBeforeUnlink,
    /// The log's removal is on the disk before the rename.
    SyncTheUnlink,
    /// The rename is on the disk before the user is told.
    SyncTheRename,
    /// A member that finds a move which a dead worker began syncs the folder before it opens.
    WhoFindsMovingSyncs,
    /// So does the next worker, before it writes something else on the board.
    CommanderSyncs,
    /// Members that are let in before the rename is durable cannot write into a database with a rollback journal.
    KeepWritersOut,
    /// SQLite's own: it syncs the folder before the first row is in a new log.
    FolderBeforeLog,
    /// The kernel says that nobody else has the file open.
    Lease,
    /// The replaced file stays locked until nobody has it open.
    Linger,
    /// In place: the new content is written in one transaction.
    OneTransaction,
    /// In place: what was committed since the plan was made is written over too, or the plan is made anew.
    TakeInTheNews,
    /// In place: that is looked for under the write lock.
    LockThenLook,
    /// In place: SQLite's number of the schema is one that nobody knows yet.
    NewSchemaNumber,
    /// In place: the commit is on the disk when it returns.
    SyncTheCommit,
    /// The user is told after the commit, in either way.
    CommitThenTell,
    /// A worker that keeps the fence past all bounds is killed.
    KillTheOverdue,
    /// The bounds are those of one attempt: a member that slept through one begins to count anew.
    PatienceBeginsAnew,
    /// A worker waits until every member holds the fence that it has opened.
    ReachTheAstray,
    /// A worker moves the file only while its fence lies at the path.
    FenceInPlace,
    /// A process that boots while the straggler lock is taken comes in without it, and takes it later.
    JoinInDebt,
}

/// All rules, or all but one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    pub without: Option<Rule>,
}

impl Rules {
    pub fn has(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }
}
