//! The processes of a fleet, and the steps that may follow each state.

use stateright::{Model, Property, Representative};

use super::folder::Folder;
use super::rules::{Rule, Rules};
use super::state::{End, Job, Locks, Member, Phase, Post, State, Stranger, Worker};
use super::{member, properties, worker};

/// The fleet that a check explores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub rules: Rules,
    pub members: usize,
    pub workers: usize,
    pub stranger: bool,
    pub leader: bool,
    /// The live file cannot be replaced: it has two names, or is a mount of its own.
    pub obstacle: bool,
    /// The database has a rollback journal.
    pub rollback: bool,
    /// The disk may take longer than requests may wait.
    pub slow_disk: bool,
    /// Once, an operator replaces the fence, with or without the database.
    pub by_hand: bool,
    /// The application closes its pool of the database, and opens it again later.
    pub leaves: bool,
    /// The total number of attempts. Each is like the one before, and two show what can go wrong in between.
    pub attempts: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Member(usize, member::Act),
    Worker(usize, worker::Act),
    /// Enough time for every clock that counts.
    TimePasses,
    LeaderDies,
    AnotherLeads,
    /// The fence is removed. The next process that needs one creates it.
    FenceIsReplaced,
    /// The database is replaced by another one, too. The board keeps its content or not.
    DatabaseIsReplaced {
        board: bool,
    },
    StrangerOpens,
    StrangerReads,
    StrangerBegins,
    StrangerEnds,
    StrangerLeaves,
}

impl Fleet {
    pub(crate) fn with(members: usize, workers: usize) -> Self {
        Self {
            rules: Rules::default(),
            members,
            workers,
            stranger: false,
            leader: false,
            obstacle: false,
            rollback: false,
            slow_disk: false,
            by_hand: false,
            leaves: false,
            attempts: 2,
        }
    }

    pub(crate) fn without(self, rule: Rule) -> Self {
        let rules = Rules { without: Some(rule) };
        Self { rules, ..self }
    }

    /// Whether the steps `mine` alone, with every other process stopped, lead from `state` to a state for which
    /// `home` is true.
    pub(crate) fn gets_home(&self, state: &State, mine: &[Step], home: impl Fn(&State) -> bool) -> bool {
        let (mut reached, mut open) = (vec![*state], vec![*state]);
        // Tries the first of the steps first, because it leads home most often.
        while let Some(state) = open.pop() {
            if home(&state) {
                return true;
            }
            for step in mine.iter().rev() {
                let new = self
                    .next_state(&state, *step)
                    .filter(|after| !reached.contains(after));
                reached.extend(new);
                open.extend(new);
            }
        }
        false
    }

    /// Takes the step, or returns that it is not possible now.
    fn take(&self, state: &mut State, step: Step) -> bool {
        match step {
            Step::Member(which, act) => return member::act(state, self.rules, which, act),
            Step::Worker(which, act) => return worker::act(state, self, which, act),
            Step::TimePasses => return self.pass_time(state),
            Step::LeaderDies if !state.leader_is_dead => state.leader_is_dead = true,
            Step::AnotherLeads if state.leader_is_dead => state.leader_is_dead = false,
            Step::FenceIsReplaced | Step::DatabaseIsReplaced { .. } if state.place == 0 => {
                // Between a worker's last check and the sync of its rename, no matter which process syncs, there is
                // nothing that the worker could do.
                if matches!(state.boards[0].phase, Phase::Moving | Phase::Moved) {
                    return false;
                }
                state.place = 1;
                if let Step::DatabaseIsReplaced { board } = step {
                    state.folder.replace_by_hand();
                    state.by_hand = true;
                    if board {
                        state.boards[1] = state.boards[0];
                    }
                }
            }
            Step::StrangerOpens if state.stranger == Stranger::Elsewhere => {
                let file = state.folder.file;
                state.stranger = match state.break_leases(file) {
                    true => Stranger::AtTheDoor(file),
                    false => Stranger::Idle(file),
                };
            }
            Step::StrangerReads | Step::StrangerBegins => {
                let Stranger::Idle(file) = state.stranger else {
                    return false;
                };
                let seized = |worker: &Worker| worker.seized && worker.file == Some(file);
                let live = file == state.folder.file;
                if state.workers.iter().any(seized) || live && state.is_locked_for_readers() {
                    return false;
                }
                if live {
                    state.folder.take_back();
                }
                if step == Step::StrangerReads {
                    state.stranger = Stranger::Reading(file);
                } else if file != state.folder.file || state.write_lock_is_free() {
                    state.stranger = Stranger::Writing(file);
                    if live {
                        // No gate holds the stranger back between the rename and the sync. What its journal may do
                        // then is not promised.
                        let crossed = state.folder.crossed;
                        state.write(self.rules);
                        state.folder.crossed = crossed;
                    }
                } else {
                    return false;
                }
                if self.rules.has(Rule::NewSchemaNumber) || state.stranger_schema.is_none() {
                    state.stranger_schema = Some(state.folder.content);
                }
            }
            Step::StrangerEnds => {
                match state.stranger {
                    Stranger::Reading(file) => state.stranger = Stranger::Idle(file),
                    Stranger::Writing(file) => {
                        state.stranger = Stranger::Idle(file);
                        state.outdate_plans();
                    }
                    Stranger::Elsewhere | Stranger::AtTheDoor(_) | Stranger::Idle(_) => return false,
                }
                if self.rules.has(Rule::NewSchemaNumber) {
                    // The stranger reads the number before its next statement.
                    state.stranger_schema = None;
                }
            }
            Step::StrangerLeaves if state.stranger != Stranger::Elsewhere => {
                // The stranger is killed in the middle of a transaction.
                if state.stranger == Stranger::Writing(state.folder.file) {
                    state.folder.hot = state.folder.rollback;
                }
                state.stranger = Stranger::Elsewhere;
                state.stranger_schema = None;
            }
            _ => return false,
        }
        true
    }

    fn pass_time(&self, state: &mut State) -> bool {
        let before = *state;
        for member in &mut state.members {
            let counts = member.waits_for.is_some() || !self.rules.has(Rule::PatienceBeginsAnew);
            member.out_of_patience |= member.post == Post::Away && counts;
        }
        for worker in &mut state.workers {
            worker.overdue |= worker.fence;
        }
        *state != before
    }
}

impl Model for Fleet {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut members = [Member::default(); 2];
        let held = Locks {
            fence: true,
            straggler: true,
            ..Locks::default()
        };
        members[..self.members].fill(Member {
            post: Post::Watching,
            locks: [held, Locks::default()],
            file: Some(0),
            schema: Some(0),
            ..Member::default()
        });
        let mut workers = [Worker::default(); 2];
        let no_job = Job::Ended(End::Refused);
        workers[self.workers..]
            .iter_mut()
            .for_each(|worker| worker.job = no_job);
        let mut folder = Folder {
            rollback: self.rollback,
            slow: self.slow_disk,
            ..Folder::default()
        };
        folder.write(true);
        folder.sync();
        vec![State {
            members,
            workers,
            folder,
            ..State::default()
        }]
    }

    fn actions(&self, _: &State, steps: &mut Vec<Step>) {
        for which in 0..self.members {
            let acts = member::Act::ALL.into_iter();
            let acts = acts.filter(|act| self.leaves || *act != member::Act::Leaves);
            steps.extend(acts.map(|act| Step::Member(which, act)));
        }
        for which in 0..self.workers {
            steps.extend(worker::Act::ALL.map(|act| Step::Worker(which, act)));
        }
        steps.push(Step::TimePasses);
        if self.leader {
            steps.extend([Step::LeaderDies, Step::AnotherLeads]);
        }
        if self.by_hand {
            steps.push(Step::FenceIsReplaced);
            steps.extend([true, false].map(|board| Step::DatabaseIsReplaced { board }));
        }
        if self.stranger {
            steps.extend([Step::StrangerOpens, Step::StrangerReads, Step::StrangerBegins]);
            steps.extend([Step::StrangerEnds, Step::StrangerLeaves]);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut after = *state;
        self.take(&mut after, step).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::of(self)
    }
}

/// It makes no difference which of two processes does something.
impl Representative for State {
    fn representative(&self) -> Self {
        let mut alike = *self;
        alike.members.sort();
        alike.workers.sort();
        alike
    }
}
