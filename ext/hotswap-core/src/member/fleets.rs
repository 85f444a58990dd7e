//! The fleets that a process has joined, and how it follows a fence that is replaced.
//!
//! A fence is created once. It is replaced all the same if an operator or a tool restores, moves or cleans up the
//! folder while the application runs. A member then takes the new fence in addition to the one that it has, and goes
//! on with the files that it has open: a copy may still be incomplete, and only a worker knows when a database is
//! whole. The next push reaches the member through the new fence and makes it close everything.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::time::Duration;

use super::database_gate::DatabaseGate;
use super::declaration::Declaration;
use super::membership::Membership;
use super::outdated::{Missed, Outdated};
use super::patience::Patience;
use crate::error::{Context, Result};
use crate::fence;
use crate::gate::Signals;
use crate::path::resolve;
use crate::sys::identity::Identity;
use crate::visible::Shown;

/// The version of a database that the caches of a process show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version {
    fence: Identity,
    /// On the board of that fence.
    generation: u64,
    /// What the caches lack of that generation.
    missed: Missed,
}

/// The version of each database that a process knows.
pub(super) type Versions = HashMap<PathBuf, Version>;

/// The memberships of this process, and its declaration.
pub(super) struct Fleets {
    memberships: Vec<Arc<Membership>>,
    declaration: Declaration,
    /// One for each fleet that this process wants to join while a worker keeps it out.
    patience: HashMap<PathBuf, Patience>,
    /// Shared by the gates of all databases, because the watcher closes one at a time.
    signals: Option<Arc<Signals>>,
    /// What this process knows of databases whose fleets it has left, and what its parent knew before the fork.
    known: Versions,
}

impl Fleets {
    pub(super) fn new(known: Versions) -> Self {
        Self {
            memberships: Vec::new(),
            declaration: Declaration::new(),
            patience: HashMap::new(),
            signals: None,
            known,
        }
    }

    pub(super) fn memberships(&self) -> &[Arc<Membership>] {
        &self.memberships
    }

    /// Joins, as [`Member::join`](super::Member::join) does.
    pub(super) fn join(&mut self, path: &Path, own_gate: bool) -> Result<Option<Arc<Membership>>> {
        let database = resolve(path);
        if let Some(one) = self.holding_the_fence_of(&database) {
            self.is_found_by(&one, path, &database);
            return Ok(Some(one));
        }
        let gate = match own_gate {
            true => Some(Arc::new(DatabaseGate::new(&database, self.signals()?))),
            false => None,
        };
        let before = [path, &database].map(|name| self.declaration.fence_of(name));
        // Declared first: a worker that does not see this declaration has put its fence in place before this process
        // opens one.
        self.declare(path, &database, None);
        let patience = self.patience.entry(database.clone()).or_default();
        let taken = Membership::take(&database, gate, patience);
        if let Ok(Some(membership)) = taken {
            self.patience.remove(&database);
            return Ok(Some(self.add(membership, path, &database)));
        }
        for (name, fence) in [path, &database].into_iter().zip(before) {
            match fence {
                Some(fence) => self.declaration.declare(name, Some(fence)),
                None => self.declaration.withdraw(name),
            }
        }
        taken.map(|_| None)
    }

    fn signals(&mut self) -> Result<Arc<Signals>> {
        if let Some(signals) = &self.signals {
            return Ok(signals.clone());
        }
        let signals = Arc::new(Signals::new().context("cannot make an eventfd")?);
        Ok(self.signals.insert(signals).clone())
    }

    fn add(&mut self, membership: Membership, path: &Path, database: &Path) -> Arc<Membership> {
        let identity = membership.fence.identity();
        let known = self
            .memberships
            .iter()
            .find(|one| one.fence.identity() == identity);
        let one = match known.cloned() {
            None => {
                let one = Arc::new(membership);
                self.memberships.push(one.clone());
                one
            }
            // The fence was moved back in the meantime. Closing the second descriptor would drop the locks of the
            // first.
            Some(known) => {
                std::mem::forget(membership);
                known
            }
        };
        self.is_found_by(&one, path, database);
        one
    }

    fn holding_the_fence_of(&self, database: &Path) -> Option<Arc<Membership>> {
        let there = fence::identity_beside(database)?;
        let mut memberships = self.memberships.iter();
        memberships.find(|one| one.fence.identity() == there).cloned()
    }

    fn is_found_by(&mut self, one: &Membership, path: &Path, database: &Path) {
        if one.is_found_by(path, database) {
            let others = self
                .memberships
                .iter()
                .filter(|other| !std::ptr::eq(&***other, one));
            for other in others {
                // The process may still have the other database open past SQLite's locks.
                if other.is_lost_to(path) && other.objects() {
                    one.object();
                }
            }
        }
        self.declare(path, database, Some(one.fence.identity()));
    }

    fn declare(&mut self, path: &Path, database: &Path, fence: Option<Identity>) {
        for name in [path, database] {
            self.declaration.declare(name, fence);
        }
    }

    /// Checks where all paths lead now. Returns whether this process holds the fence next to each database.
    pub(super) fn follow_all(&mut self) -> bool {
        let memberships = self.memberships.clone();
        let lost = memberships.iter().filter(|one| {
            // The usual case. It has to be cheap, so it resolves nothing.
            let stays = one.paths() == [one.database()] && one.fence.is_in_place();
            !stays && !self.follow(one)
        });
        lost.count() == 0
    }

    /// Does the same for the paths of one membership.
    pub(super) fn follow(&mut self, one: &Membership) -> bool {
        let paths = one.paths();
        let own_gate = one.gate.is_some();
        let lost = paths.iter().filter(|path| !self.follow_path(path, own_gate));
        lost.count() == 0
    }

    fn follow_path(&mut self, path: &Path, own_gate: bool) -> bool {
        // If there is no fence, the next process that needs one creates it: a worker, or this process when it opens
        // a connection.
        if fence::identity_beside(&resolve(path)).is_none() {
            return false;
        }
        let before = self.memberships.len();
        let joined = self.join(path, own_gate);
        if self.memberships.len() > before {
            tracing::warn!(
                target: "hotswap",
                "the lock file of {} was replaced by another program. If the database was replaced with it, this process \
                 keeps using the one that it has open, until the next push or a restart",
                path.shown()
            );
        }
        matches!(joined, Ok(Some(_)))
    }

    /// The longest pause that a worker has asked for.
    pub(super) fn longest_pause(&self) -> Duration {
        let joined = self.memberships.iter().map(|one| one.fence.board().max_pause);
        let waiting = self.patience.values().map(Patience::longest);
        joined.chain(waiting).max().unwrap_or_default()
    }

    /// Releases the fences that the one of `one` has replaced. By now all connections are closed.
    pub(super) fn leave_what_was_replaced_by(&mut self, one: &Membership) {
        self.memberships
            .retain(|other| std::ptr::eq(&**other, one) || !other.was_replaced_by(one));
    }

    /// Whether connections to the database of `one` cannot also be connections to another one: no path that led here
    /// leads elsewhere, or the other way round.
    pub(super) fn is_unrelated(&self, one: &Membership) -> bool {
        let mut others = self
            .memberships
            .iter()
            .filter(|other| !std::ptr::eq(&***other, one));
        !one.has_lost_a_path() && others.all(|other| other.is_unrelated_to(one))
    }

    /// Leaves the fleet behind `fence`, whose gate is sealed, and remembers its generation. Returns whether it has:
    /// only if nothing else refers to the membership, because a later close of the fence would drop the locks of the
    /// next membership. `before` runs before the fence is closed.
    pub(super) fn leave(&mut self, fence: Identity, before: impl FnOnce(&Membership)) -> bool {
        let mut all = self.memberships.iter();
        let Some(at) = all.position(|one| one.fence.identity() == fence) else {
            return false;
        };
        let one = &self.memberships[at];
        if Arc::strong_count(one) > 1 || !self.is_unrelated(one) {
            return false;
        }
        let one = self.memberships.swap_remove(at);
        before(&one);
        let database = one.database();
        for path in one.paths().iter().chain([&database]) {
            self.declaration.withdraw(path);
        }
        self.known.insert(database, version(&one));
        true
    }

    /// What a child knows if this process forks now: it inherits the caches, in which those databases are `outdated`.
    pub(super) fn versions(&self, outdated: &Outdated) -> Versions {
        let mut versions = self.known.clone();
        versions.extend(self.memberships.iter().map(|one| (one.database(), version(one))));
        // Read last: a swap that is over by now has changed the caches.
        for (database, missed) in outdated.entries().iter() {
            if let Some(version) = versions.get_mut(database) {
                version.missed = version.missed.max(*missed);
            }
        }
        versions
    }

    /// What has happened to the database of `one`, whose fleet this process has just joined, since it last knew it.
    pub(super) fn missed(&mut self, one: &Membership) -> Missed {
        let now = one.generation.load(Ordering::Relaxed);
        match self.known.remove(&one.database()) {
            None => Missed::Nothing,
            Some(known) if known.fence == one.fence.identity() => known.missed.max(match known.generation {
                then if then == now => Missed::Nothing,
                then => Missed::since(then, &one.fence.board()),
            }),
            Some(_) => Missed::Schema,
        }
    }
}

fn version(one: &Membership) -> Version {
    Version {
        fence: one.fence.identity(),
        generation: one.generation.load(Ordering::Relaxed),
        missed: Missed::Nothing,
    }
}
