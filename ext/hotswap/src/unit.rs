//! `Hotswap::Gate::Unit`: the part of a unit of work that every request pays for. Waiting is implemented in Ruby.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Instant;

use hotswap_core::gate::{Gate, Pass};
use hotswap_core::member::{DatabaseGate, Entry};
use magnus::gc::Marker;
use magnus::typed_data::Obj;
use magnus::value::{LazyId, Opaque, ReprValue};
use magnus::{
    function, method, Class, DataTypeFunctions, Error, Fiber, Module, Object, RModule, Ruby, TypedData, Value,
};

use crate::database_gate::OfDatabase;
use crate::file_name::FileName;
use crate::{gate, runtime};

/// The fiber-local variable that holds the current unit.
static MARK: LazyId = LazyId::new("hotswap_unit");

/// A unit is made before it enters, and holds its own pass. So code with `ensure unit.leave` gives the pass back no
/// matter where a `Thread#kill`, a `Timeout` or a throw hits. If a server never closes its response, the unit leaves
/// when the garbage collector frees it.
#[derive(TypedData)]
#[magnus(class = "Hotswap::Gate::Unit", free_immediately, mark, size)]
struct Unit {
    source: Cell<Opaque<Value>>,
    since: Cell<Option<Instant>>,
    /// Whether the unit has left for good and cannot enter again.
    over: Cell<bool>,
    // No Ruby code runs while this is borrowed, because the garbage collector may read it.
    stay: RefCell<Option<Stay>>,
}

/// The state of a unit while it is inside.
struct Stay {
    gate: Arc<Gate>,
    pass: Pass,
    generation: u64,
    fiber: Opaque<Fiber>,
    /// The gates of databases that the unit has used.
    databases: Vec<(Arc<DatabaseGate>, Pass)>,
}

impl Stay {
    fn holds(&self, gate: &Arc<DatabaseGate>) -> bool {
        self.databases.iter().any(|(held, _)| Arc::ptr_eq(held, gate))
    }
}

impl Unit {
    fn new(source: Value) -> Self {
        Self {
            source: Cell::new(source.into()),
            since: Cell::new(None),
            over: Cell::new(false),
            stay: RefCell::new(None),
        }
    }

    fn try_enter(ruby: &Ruby, unit: Obj<Self>) -> Result<bool, Error> {
        Self::admit(ruby, unit, Gate::enter)
    }

    fn try_enter_while_closing(ruby: &Ruby, unit: Obj<Self>) -> Result<bool, Error> {
        Self::admit(ruby, unit, Gate::enter_while_closing)
    }

    fn admit(ruby: &Ruby, unit: Obj<Self>, enter: fn(&Gate) -> Option<Pass>) -> Result<bool, Error> {
        let admitted = unit.take_pass(ruby, ruby.fiber_current().into(), enter)?;
        if admitted {
            ruby.thread_current().local_aset(*MARK, unit)?;
        }
        Ok(admitted)
    }

    fn take_pass(
        &self,
        ruby: &Ruby,
        fiber: Opaque<Fiber>,
        enter: fn(&Gate) -> Option<Pass>,
    ) -> Result<bool, Error> {
        let gate = gate::of_this_process(ruby)?;
        let Some(pass) = enter(gate) else {
            return Ok(false);
        };
        self.stay.replace(Some(Stay {
            gate: gate.clone(),
            pass,
            generation: runtime::generation(),
            fiber,
            databases: Vec::new(),
        }));
        self.since.set(Some(Instant::now()));
        Ok(true)
    }

    fn leave(&self) {
        self.over.set(true);
        self.give_pass_back();
    }

    fn give_pass_back(&self) -> Option<Opaque<Fiber>> {
        let stay = self.stay.take()?;
        for (gate, pass) in &stay.databases {
            gate.leave(pass);
        }
        stay.gate.leave(&stay.pass);
        Some(stay.fiber)
    }

    /// Enters the gate of a database as well, until the unit leaves. Returns false if that gate is closing or sealed;
    /// with `while_closing`, only if it is sealed. Returns nil if it is no longer the gate of the database, or the unit
    /// is not inside.
    fn try_use(&self, gate: &OfDatabase, while_closing: bool) -> Option<bool> {
        if !self.is_inside() || !gate.belongs_here() {
            return None;
        }
        let mut stay = self.stay.borrow_mut();
        let stay = stay.as_mut()?;
        if stay.holds(&gate.gate) {
            return Some(true);
        }
        match gate.gate.enter(while_closing) {
            Entry::Entered(pass) => {
                stay.databases.push((gate.gate.clone(), pass));
                Some(true)
            }
            Entry::Closed => Some(false),
            Entry::Abandoned => None,
        }
    }

    /// Whether the unit has entered the gate of the database.
    fn uses(&self, database: FileName) -> bool {
        let database = database.into_path();
        let stay = self.stay.borrow();
        stay.as_ref()
            .is_some_and(|stay| stay.databases.iter().any(|(gate, _)| gate.database() == database))
    }

    /// Leaves temporarily; `try_resume` enters again. Returns the fiber for `try_resume`, or nil if the unit was not
    /// inside.
    fn suspend(ruby: &Ruby, unit: &Self) -> Option<Fiber> {
        if !unit.is_inside() {
            return None;
        }
        unit.give_pass_back().map(|fiber| ruby.get_inner(fiber))
    }

    /// Enters again after `suspend`, unless it has left for good since. Returns false if the gate is closing or
    /// sealed. With `beside_another`, when another unit of the same request is inside, returns false only if the
    /// gate is sealed.
    fn try_resume(ruby: &Ruby, unit: &Self, fiber: Fiber, beside_another: bool) -> Result<bool, Error> {
        if unit.over.get() || unit.is_inside() {
            return Ok(true);
        }
        let enter = if beside_another {
            Gate::enter_while_closing
        } else {
            Gate::enter
        };
        unit.take_pass(ruby, fiber.into(), enter)
    }

    fn is_inside(&self) -> bool {
        let stay = self.stay.borrow();
        stay.as_ref()
            .is_some_and(|stay| stay.generation == runtime::generation())
    }

    /// Rails copies the mark into threads that it starts for a request. Each of these is a unit of its own.
    fn is_current(ruby: &Ruby, unit: &Self) -> Result<bool, Error> {
        let fiber = unit.stay.borrow().as_ref().map(|stay| stay.fiber);
        match fiber {
            Some(fiber) if unit.is_inside() => ruby.get_inner(fiber).equal(ruby.fiber_current()),
            _ => Ok(false),
        }
    }

    fn source(ruby: &Ruby, unit: &Self) -> Value {
        ruby.get_inner(unit.source.get())
    }

    fn set_source(&self, source: Value) {
        self.source.set(source.into());
    }

    fn age(&self) -> f64 {
        self.since
            .get()
            .map_or(0.0, |since| since.elapsed().as_secs_f64())
    }
}

impl DataTypeFunctions for Unit {
    fn mark(&self, marker: &Marker) {
        marker.mark(self.source.get());
        if let Some(stay) = self.stay.borrow().as_ref() {
            marker.mark(stay.fiber);
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Whether the caller is part of a unit that is inside.
fn inside(ruby: &Ruby) -> Result<bool, Error> {
    match ruby.thread_current().local_aref::<_, Option<Obj<Unit>>>(*MARK)? {
        Some(unit) => Unit::is_current(ruby, &unit),
        None => Ok(false),
    }
}

/// Whether the caller is part of a unit that is inside the gate of a database.
pub(crate) fn here_is_inside(ruby: &Ruby, gate: &Arc<DatabaseGate>) -> Result<bool, Error> {
    match ruby.thread_current().local_aref::<_, Option<Obj<Unit>>>(*MARK)? {
        Some(unit) => {
            let holds = unit.stay.borrow().as_ref().is_some_and(|stay| stay.holds(gate));
            Ok(holds && Unit::is_current(ruby, &unit)?)
        }
        None => Ok(false),
    }
}

pub(crate) fn define(ruby: &Ruby, hotswap: RModule) -> Result<(), Error> {
    let gate = hotswap.define_module("Gate")?;
    gate.define_singleton_method("inside?", function!(inside, 0))?;
    let unit = gate.define_class("Unit", ruby.class_object())?;
    unit.undef_default_alloc_func();
    unit.define_singleton_method("new", function!(Unit::new, 1))?;
    unit.define_method("leave", method!(Unit::leave, 0))?;
    unit.define_method("inside?", method!(Unit::is_inside, 0))?;
    unit.define_method("current?", method!(Unit::is_current, 0))?;
    unit.define_method("source", method!(Unit::source, 0))?;
    unit.define_method("age", method!(Unit::age, 0))?;
    unit.define_method("suspend", method!(Unit::suspend, 0))?;
    unit.define_method("try_resume", method!(Unit::try_resume, 2))?;
    unit.define_method("uses?", method!(Unit::uses, 1))?;
    unit.define_private_method("try_use", method!(Unit::try_use, 2))?;
    unit.define_private_method("source=", method!(Unit::set_source, 1))?;
    unit.define_private_method("try_enter", method!(Unit::try_enter, 0))?;
    unit.define_private_method(
        "try_enter_while_closing",
        method!(Unit::try_enter_while_closing, 0),
    )?;
    Ok(())
}
