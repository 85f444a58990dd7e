//! A check that goes on while its file arrives, ahead of the moment at which all of that is there.

use std::path::Path;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use super::arrival::Arrival;
use super::check::Check;
use super::writeback::STEP;
use crate::error::Result;

/// See the module. Dropping it ends the check.
pub struct Ahead<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    check: Check<'env>,
    path: &'env Path,
    begun: Option<Begun<'scope>>,
}

struct Begun<'scope> {
    arrival: Arc<Arrival>,
    verdict: ScopedJoinHandle<'scope, Result<()>>,
}

impl<'scope, 'env> Ahead<'scope, 'env> {
    /// Of a file at `path`, of which nothing has come.
    pub fn new(scope: &'scope Scope<'scope, 'env>, check: Check<'env>, path: &'env Path) -> Self {
        Self {
            scope,
            check,
            path,
            begun: None,
        }
    }

    /// The first `bytes` of `length` are there. The check begins with the first step, unless that is all.
    pub fn reached(&mut self, bytes: u64, length: u64) {
        if self.begun.is_none() && self.check.wants_integrity() && (STEP..length).contains(&bytes) {
            let arrival = Arrival::of(length);
            let (check, path, arriving) = (self.check, self.path, arrival.clone());
            let verdict = self
                .scope
                .spawn(move || check.integrity_of_arriving(path, length, &arriving));
            self.begun = Some(Begun { arrival, verdict });
        }
        if let Some(begun) = &self.begun {
            begun.arrival.reached(bytes);
        }
    }

    /// Whether everything has come, and a check that began meanwhile goes through it.
    pub fn has_it_all(&self) -> bool {
        self.begun
            .as_ref()
            .is_some_and(|begun| begun.arrival.is_complete())
    }

    /// Waits for the verdict of a check that [has it all](Self::has_it_all).
    pub fn verdict(mut self) -> Result<()> {
        let begun = self.begun.take().expect("a check has begun");
        begun.arrival.end();
        let verdict = begun.verdict.join();
        verdict.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Ahead<'_, '_> {
    fn drop(&mut self) {
        if let Some(begun) = &self.begun {
            begun.arrival.end();
        }
    }
}
