//! The application's own SQLite, adopted.
//!
//! The worker neither bundles SQLite nor links to it. The same SQLite, with the same options, that will serve a
//! pushed file also checks it. The sqlite3 gem loads this library as an extension, and SQLite passes it its table of
//! functions.

use std::ffi::{c_char, c_int, c_void, CString};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::ffi;

/// The entry point of the loadable extension.
///
/// # Safety
///
/// `message` and `api` must be what SQLite passes to an extension's entry point.
pub unsafe fn adopt_sqlite(message: *mut *mut c_char, api: *mut c_void) -> c_int {
    // SAFETY: the caller passes SQLite's own table; the second one is a copy of it, read and not kept.
    let adopted = unsafe {
        let table = api.cast::<ffi::sqlite3_api_routines>();
        ffi::rusqlite_extension_init2(table).and_then(|()| match vouch_for_threads(table) {
            Some(mut vouched) => ffi::rusqlite_extension_init2(&mut vouched),
            None => Ok(()),
        })
    };
    match adopted {
        // The functions point into this library: it must stay for the life of the process.
        Ok(()) => ffi::SQLITE_OK_LOAD_PERMANENTLY,
        Err(error) => {
            // SAFETY: SQLite frees the message, which therefore comes from its own allocator, if that is usable.
            unsafe { explain(message, api, &format!("hotswap cannot use this SQLite: {error}")) };
            ffi::SQLITE_ERROR
        }
    }
}

/// Makes rusqlite accept a library without mutexes (SQLITE_THREADSAFE=0), with which it would otherwise refuse to
/// open anything. A worker then uses SQLite in one thread at a time: while one thread works, the thread that started it
/// waits. See [`has_mutexes`].
///
/// # Safety
///
/// `table` must come from a library that is no older than the bindings, which the first `rusqlite_extension_init2`
/// has verified.
unsafe fn vouch_for_threads(table: *mut ffi::sqlite3_api_routines) -> Option<ffi::sqlite3_api_routines> {
    // SAFETY: as the caller says, everything that the bindings know is in the table.
    let table = unsafe { &*table };
    // SAFETY: takes nothing.
    if unsafe { table.xthreadsafe?() } != 0 {
        return None;
    }
    NO_MUTEXES.store(true, Ordering::Relaxed);
    Some(ffi::sqlite3_api_routines {
        xthreadsafe: Some(multi_thread),
        mutex_alloc: Some(some_mutex),
        mutex_free: Some(forget_mutex),
        ..*table
    })
}

/// Whether the library was compiled without mutexes.
static NO_MUTEXES: AtomicBool = AtomicBool::new(false);

/// Whether two threads may use this SQLite at a time, each with a connection of its own.
pub(crate) fn has_mutexes() -> bool {
    !NO_MUTEXES.load(Ordering::Relaxed)
}

unsafe extern "C" fn multi_thread() -> c_int {
    2
}

/// Rusqlite allocates a mutex to check its address, and never enters it.
unsafe extern "C" fn some_mutex(_: c_int) -> *mut ffi::sqlite3_mutex {
    static NO_MUTEX: u64 = 0;
    std::ptr::from_ref(&NO_MUTEX).cast_mut().cast()
}

unsafe extern "C" fn forget_mutex(_: *mut ffi::sqlite3_mutex) {}

unsafe fn explain(message: *mut *mut c_char, api: *mut c_void, text: &str) {
    // SAFETY: the table is SQLite's, and this entry has been in it since 3.0.
    let allocate = unsafe { (*api.cast::<ffi::sqlite3_api_routines>()).malloc };
    let (Some(allocate), Ok(text)) = (allocate, CString::new(text)) else {
        return;
    };
    let bytes = text.as_bytes_with_nul();
    // SAFETY: as many bytes are copied as were allocated.
    unsafe {
        let copy = allocate(bytes.len() as c_int).cast::<c_char>();
        if !copy.is_null() && !message.is_null() {
            std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), copy, bytes.len());
            *message = copy;
        }
    }
}
