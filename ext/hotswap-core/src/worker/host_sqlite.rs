//! The application's own SQLite, adopted.
//!
//! The worker neither brings a library of its own nor links one: a pushed file is judged by the very SQLite,
//! with the very options, that will serve it. The sqlite3 gem loads our library as an extension, and SQLite
//! hands over its table of functions.

use std::ffi::{c_char, c_int, c_void, CString};

use rusqlite::ffi;

/// The entry point of the loadable extension.
///
/// # Safety
///
/// `message` and `api` must be what SQLite passes to an extension's entry point.
pub unsafe fn adopt_sqlite(message: *mut *mut c_char, api: *mut c_void) -> c_int {
    // SAFETY: the caller passes SQLite's own table.
    match unsafe { ffi::rusqlite_extension_init2(api.cast()) } {
        // The functions point into this library: it must stay for the life of the process.
        Ok(()) => ffi::SQLITE_OK_LOAD_PERMANENTLY,
        Err(error) => {
            // SAFETY: SQLite frees the message, which therefore comes from its own allocator, if that is usable.
            unsafe { explain(message, api, &format!("hotswap cannot use this SQLite: {error}")) };
            ffi::SQLITE_ERROR
        }
    }
}

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
