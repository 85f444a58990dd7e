//! The fleets that a process has joined, and how it follows a fence that is replaced.
//!
//! A fence is created once. It is replaced all the same if an operator or a tool restores, moves or cleans up the
//! folder while the application runs. A member then takes the new fence in addition to the one that it has, and goes
//! on with the files that it has open: a copy may still be incomplete, and only a worker knows when a database is
//! whole. The next push reaches the member through the new fence and makes it close everything.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::declaration::Declaration;
use super::membership::Membership;
use super::patience::Patience;
use crate::error::Result;
use crate::fence;
use crate::path::resolve;
use crate::sys::identity::Identity;
use crate::visible::Shown;

/// The memberships of this process, and its declaration.
pub(super) struct Fleets {
    memberships: Vec<Arc<Membership>>,
    declaration: Declaration,
    /// One for each fleet that this process wants to join while a worker keeps it out.
    patience: HashMap<PathBuf, Patience>,
}

impl Fleets {
    pub(super) fn new() -> Self {
        Self {
            memberships: Vec::new(),
            declaration: Declaration::new(),
            patience: HashMap::new(),
        }
    }

    pub(super) fn memberships(&self) -> &[Arc<Membership>] {
        &self.memberships
    }

    /// See [`Member::join`](super::Member::join).
    pub(super) fn join(&mut self, path: &Path) -> Result<bool> {
        let database = resolve(path);
        if let Some(one) = self.holding_the_fence_of(&database) {
            self.is_found_by(&one, path, &database);
            return Ok(true);
        }
        let before = [path, &database].map(|name| self.declaration.fence_of(name));
        // Declared first: a worker that does not see this declaration has put its fence in place before this process
        // opens one.
        self.declare(path, &database, None);
        let patience = self.patience.entry(database.clone()).or_default();
        let taken = Membership::take(&database, patience);
        if let Ok(Some(membership)) = taken {
            self.patience.remove(&database);
            return self.add(membership, path, &database);
        }
        for (name, fence) in [path, &database].into_iter().zip(before) {
            match fence {
                Some(fence) => self.declaration.declare(name, Some(fence)),
                None => self.declaration.withdraw(name),
            }
        }
        taken.map(|_| false)
    }

    fn add(&mut self, membership: Membership, path: &Path, database: &Path) -> Result<bool> {
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
        Ok(true)
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

    /// Checks where all paths lead now. Returns whether this process holds the fence beside each database.
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
        let lost = paths.iter().filter(|path| !self.follow_path(path));
        lost.count() == 0
    }

    fn follow_path(&mut self, path: &Path) -> bool {
        // If there is no fence, the next process that needs one creates it: a worker, or this process when it opens
        // a connection.
        if fence::identity_beside(&resolve(path)).is_none() {
            return false;
        }
        let before = self.memberships.len();
        let joined = self.join(path);
        if self.memberships.len() > before {
            tracing::warn!(
                target: "hotswap",
                "the lock file of {} was replaced by another program. If the database was replaced with it, this process \
                 keeps using the one that it has open, until the next push or a restart",
                path.shown()
            );
        }
        matches!(joined, Ok(true))
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
}
