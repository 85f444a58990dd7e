//! `Hotswap::Native::Pass` and the functions around the gate and the memberships.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hotswap_core::gate::{Gate, Pass};
use magnus::{function, method, Class, Error, Module, Object, RModule, Ruby};

use crate::{raise, runtime};

/// One unit of work inside the gate. Collected by the garbage collector it counts as left, so that a thread
/// killed between two instructions cannot keep the gate from closing for ever.
#[magnus::wrap(class = "Hotswap::Native::Pass", free_immediately, size)]
struct NativePass {
    gate: Arc<Gate>,
    pass: Pass,
}

impl NativePass {
    fn leave(&self) -> bool {
        self.gate.leave(&self.pass)
    }
}

impl Drop for NativePass {
    fn drop(&mut self) {
        self.leave();
    }
}

fn gate(ruby: &Ruby) -> Result<&'static Arc<Gate>, Error> {
    runtime::current()
        .map(|runtime| &runtime.gate)
        .map_err(|error| raise(ruby, &error))
}

fn wrap(gate: &Arc<Gate>, pass: Option<Pass>) -> Option<NativePass> {
    pass.map(|pass| NativePass {
        gate: gate.clone(),
        pass,
    })
}

fn enter(ruby: &Ruby) -> Result<Option<NativePass>, Error> {
    let gate = gate(ruby)?;
    Ok(wrap(gate, gate.enter()))
}

fn enter_while_closing(ruby: &Ruby) -> Result<Option<NativePass>, Error> {
    let gate = gate(ruby)?;
    Ok(wrap(gate, gate.enter_while_closing()))
}

fn closed(ruby: &Ruby) -> Result<bool, Error> {
    Ok(gate(ruby)?.is_closed())
}

fn inside(ruby: &Ruby) -> Result<u64, Error> {
    Ok(gate(ruby)?.inside())
}

fn close(ruby: &Ruby) -> Result<bool, Error> {
    Ok(gate(ruby)?.close())
}

fn try_seal(ruby: &Ruby) -> Result<bool, Error> {
    Ok(gate(ruby)?.seal(Instant::now()))
}

fn reopen(ruby: &Ruby) -> Result<(), Error> {
    gate(ruby)?.reopen();
    Ok(())
}

fn open_descriptor(ruby: &Ruby) -> Result<i32, Error> {
    Ok(gate(ruby)?.open_signal().raw())
}

fn join(ruby: &Ruby, database: String) -> Result<bool, Error> {
    let runtime = runtime::current().map_err(|error| raise(ruby, &error))?;
    runtime
        .member
        .join(&PathBuf::from(database))
        .map_err(|error| raise(ruby, &error))
}

fn memberships() -> Vec<String> {
    let databases = runtime::existing()
        .map(|runtime| runtime.member.databases())
        .unwrap_or_default();
    databases
        .iter()
        .map(|path| path.to_string_lossy().into_owned())
        .collect()
}

pub(crate) fn define(ruby: &Ruby, native: RModule) -> Result<(), Error> {
    let pass = native.define_class("Pass", ruby.class_object())?;
    pass.undef_default_alloc_func();
    pass.define_method("leave", method!(NativePass::leave, 0))?;
    native.define_singleton_method("enter", function!(enter, 0))?;
    native.define_singleton_method("enter_while_closing", function!(enter_while_closing, 0))?;
    native.define_singleton_method("gate_closed?", function!(closed, 0))?;
    native.define_singleton_method("inside", function!(inside, 0))?;
    native.define_singleton_method("close_gate", function!(close, 0))?;
    native.define_singleton_method("try_seal_gate", function!(try_seal, 0))?;
    native.define_singleton_method("reopen_gate", function!(reopen, 0))?;
    native.define_singleton_method("gate_descriptor", function!(open_descriptor, 0))?;
    native.define_singleton_method("join", function!(join, 1))?;
    native.define_singleton_method("memberships", function!(memberships, 0))?;
    native.define_singleton_method("generation", function!(runtime::generation, 0))?;
    Ok(())
}
