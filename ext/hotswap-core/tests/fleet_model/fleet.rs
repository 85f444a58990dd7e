//! Who is there, and what may happen next.

use stateright::{Model, Property, Representative};

use super::rules::{Rule, Rules};
use super::state::{End, Folder, Job, Member, Post, State, Stranger, Worker};
use super::{member, properties, worker};

/// A fleet to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub rules: Rules,
    pub members: usize,
    pub workers: usize,
    pub stranger: bool,
    pub leader: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Member(usize, member::Act),
    Worker(usize, worker::Act),
    /// Long enough for everybody who counts.
    TimePasses,
    LeaderDies,
    AnotherLeads,
    StrangerOpens,
    StrangerWorks,
    StrangerLeaves,
}

impl Fleet {
    pub fn with(members: usize, workers: usize) -> Self {
        Self {
            rules: Rules::default(),
            members,
            workers,
            stranger: false,
            leader: false,
        }
    }

    pub fn without(self, rule: Rule) -> Self {
        let rules = Rules { without: Some(rule) };
        Self { rules, ..self }
    }

    /// Whether the steps `mine` alone, everybody else being stopped, lead from `state` to where `home` says so.
    pub fn gets_home(&self, state: &State, mine: &[Step], home: impl Fn(&State) -> bool) -> bool {
        let mut reached = vec![*state];
        let mut next = 0;
        while let Some(&state) = reached.get(next) {
            next += 1;
            if home(&state) {
                return true;
            }
            let after = mine.iter().filter_map(|step| self.next_state(&state, *step));
            let new: Vec<_> = after.filter(|after| !reached.contains(after)).collect();
            reached.extend(new);
        }
        false
    }

    /// Does it, or says that it cannot be done now.
    fn take(&self, state: &mut State, step: Step) -> bool {
        match step {
            Step::Member(which, act) => return member::act(state, self.rules, which, act),
            Step::Worker(which, act) => return worker::act(state, self.rules, which, act),
            Step::TimePasses => return self.pass_time(state),
            Step::LeaderDies if !state.leader_is_dead => state.leader_is_dead = true,
            Step::AnotherLeads if state.leader_is_dead => state.leader_is_dead = false,
            Step::StrangerOpens if state.stranger == Stranger::Elsewhere => {
                let file = state.folder.file;
                state.stranger = match state.break_leases(file) {
                    true => Stranger::AtTheDoor(file),
                    false => Stranger::Idle(file),
                };
            }
            Step::StrangerWorks => {
                let Stranger::Idle(file) = state.stranger else {
                    return false;
                };
                let seized = |worker: &Worker| worker.seized && worker.file == Some(file);
                if state.workers.iter().any(seized) {
                    return false;
                }
                state.stranger = Stranger::Busy(file);
            }
            Step::StrangerLeaves if state.stranger != Stranger::Elsewhere => {
                state.stranger = Stranger::Elsewhere;
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
        members[..self.members].fill(Member {
            post: Post::Watching,
            fence: true,
            straggler: true,
            file: Some(0),
            schema: Some(0),
            ..Member::default()
        });
        let mut workers = [Worker::default(); 2];
        let nobody = Job::Ended(End::Refused);
        workers[self.workers..]
            .iter_mut()
            .for_each(|worker| worker.job = nobody);
        let mut folder = Folder {
            log: Some(0),
            ..Folder::default()
        };
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
            steps.extend(member::Act::ALL.map(|act| Step::Member(which, act)));
        }
        for which in 0..self.workers {
            steps.extend(worker::Act::ALL.map(|act| Step::Worker(which, act)));
        }
        steps.push(Step::TimePasses);
        if self.leader {
            steps.extend([Step::LeaderDies, Step::AnotherLeads]);
        }
        if self.stranger {
            steps.extend([Step::StrangerOpens, Step::StrangerWorks, Step::StrangerLeaves]);
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

/// Which of two processes does something makes no difference.
impl Representative for State {
    fn representative(&self) -> Self {
        let mut alike = *self;
        alike.members.sort();
        alike.workers.sort();
        alike
    }
}
