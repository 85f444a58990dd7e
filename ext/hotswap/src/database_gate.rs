//! `Hotswap::Gate::OfDatabase`: the gate of one database. Waiting is implemented in Ruby.

use std::sync::Arc;

use hotswap_core::member::{DatabaseGate, Entry};
use magnus::{method, Class, Error, Module, RModule, Ruby, TypedData};

use crate::{runtime, unit};

/// A gate, as the code that opens the database gets it. There may be several of these for one gate.
#[derive(TypedData)]
#[magnus(class = "Hotswap::Gate::OfDatabase", free_immediately, size)]
pub(crate) struct OfDatabase {
    pub(crate) gate: Arc<DatabaseGate>,
    generation: u64,
}

impl magnus::DataTypeFunctions for OfDatabase {}

impl OfDatabase {
    pub(crate) fn new(gate: Arc<DatabaseGate>) -> Self {
        let generation = runtime::generation();
        Self { gate, generation }
    }

    /// A forked child inherits its parent's gates, and not the connections behind them.
    pub(crate) fn belongs_here(&self) -> bool {
        self.generation == runtime::generation()
    }

    /// Whether the caller's unit is inside.
    fn is_held(ruby: &Ruby, gate: &Self) -> Result<bool, Error> {
        unit::here_is_inside(ruby, &gate.gate)
    }

    /// Notes a use that does not show which unit waits for it. Returns false if the gate is sealed, and nil if it is no
    /// longer the gate of the database.
    fn try_use_unseen(&self) -> Option<bool> {
        if !self.belongs_here() {
            return None;
        }
        match self.gate.enter(true) {
            Entry::Entered(pass) => {
                self.gate.note_unseen_use();
                self.gate.leave(&pass);
                Some(true)
            }
            Entry::Closed => Some(false),
            Entry::Abandoned => None,
        }
    }

    /// Notes that a connection was closed.
    fn closed(&self) {
        if let Some(runtime) = runtime::existing().filter(|_| self.belongs_here()) {
            runtime.member.closed(&self.gate);
        }
    }

    /// A file descriptor that is readable while no gate of a database is closed.
    fn descriptor(&self) -> i32 {
        self.gate.open_signal().raw()
    }
}

pub(crate) fn define(ruby: &Ruby, hotswap: RModule) -> Result<(), Error> {
    let gate = hotswap
        .define_module("Gate")?
        .define_class("OfDatabase", ruby.class_object())?;
    gate.undef_default_alloc_func();
    gate.define_method("held?", method!(OfDatabase::is_held, 0))?;
    gate.define_method("try_use_unseen", method!(OfDatabase::try_use_unseen, 0))?;
    gate.define_method("closed", method!(OfDatabase::closed, 0))?;
    gate.define_method("descriptor", method!(OfDatabase::descriptor, 0))?;
    Ok(())
}
