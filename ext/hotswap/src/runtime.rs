//! The state of this process: its gate, its memberships, its mailbox, its server.
//!
//! A forked child has its parent's memory but none of its threads and locks, so it must not touch any of this. It
//! leaves the old runtime in place and makes a new one on first use. It only reads what the parent has prepared for it
//! before the fork.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use hotswap_core::gate::Gate;
use hotswap_core::member::Member;
use hotswap_core::server::Server;
use hotswap_core::sys::publication::Publication;
use hotswap_core::Result;

use crate::mailbox::Mailbox;

/// The state of one process.
pub(crate) struct Runtime {
    generation: u64,
    pub gate: Arc<Gate>,
    pub member: Arc<Member>,
    pub mailbox: Arc<Mailbox>,
    pub server: Mutex<Option<Server>>,
    /// What this process has registered since the application booted.
    pub registered: Mutex<Option<Publication>>,
}

/// Counts the forks in this process's ancestry.
static GENERATION: AtomicU64 = AtomicU64::new(1);
static CURRENT: AtomicPtr<Runtime> = AtomicPtr::new(std::ptr::null_mut());

extern "C" fn about_to_fork() {
    if let Some(runtime) = existing() {
        runtime.member.before_fork();
    }
    hotswap_core::sys::fork::before_fork();
}

extern "C" fn has_forked() {
    hotswap_core::sys::fork::after_fork();
}

extern "C" fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    hotswap_core::sys::fork::close_in_child();
}

/// Installs fork handlers, so that forked children are recognized. They also see the fork in `Process.daemon`, which
/// no Ruby hook sees.
pub(crate) fn note_forks() {
    // SAFETY: the handler in the child changes atomics and closes descriptors, which is safe after a fork. The handlers
    // are never unloaded.
    unsafe { libc::pthread_atfork(Some(about_to_fork), Some(has_forked), Some(forked)) };
}

/// The number of forks that led to this process. It changes in a child.
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// The runtime of this process, if it already has one.
pub(crate) fn existing() -> Option<&'static Runtime> {
    // SAFETY: a runtime is leaked when it is made, so it lives as long as the process.
    let runtime = unsafe { CURRENT.load(Ordering::Acquire).as_ref() }?;
    (runtime.generation == generation()).then_some(runtime)
}

/// The runtime of this process. Callers hold the interpreter's lock, so only one thread at a time makes one.
pub(crate) fn current() -> Result<&'static Runtime> {
    match existing() {
        Some(runtime) => Ok(runtime),
        None => make(),
    }
}

#[cold]
fn make() -> Result<&'static Runtime> {
    let io = |source| hotswap_core::Error::io("cannot make an eventfd", source);
    let gate = Arc::new(Gate::new().map_err(io)?);
    let mailbox = Arc::new(Mailbox::new().map_err(io)?);
    // SAFETY: as in `existing`. If there is one, it is the parent's.
    let parent = unsafe { CURRENT.load(Ordering::Acquire).as_ref() };
    let inheritance = parent.map(|parent| parent.member.inheritance());
    let member = Member::new(gate.clone(), mailbox.clone(), inheritance.unwrap_or_default())?;
    let runtime = Runtime {
        generation: generation(),
        gate,
        member,
        mailbox,
        server: Mutex::new(None),
        registered: Mutex::new(None),
    };
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    CURRENT.store(std::ptr::from_ref(runtime).cast_mut(), Ordering::Release);
    crate::log::install();
    Ok(runtime)
}
