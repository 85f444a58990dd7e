//! The entry point by which SQLite, loading this library as an extension, hands over its own interface.

use std::ffi::{c_char, c_int, c_void};

/// Called by `sqlite3_load_extension`. From here on the worker uses the SQLite that the application uses.
///
/// # Safety
///
/// SQLite calls it with a valid connection, a place for a message, and its table of functions.
#[no_mangle]
pub unsafe extern "C" fn sqlite3_extension_init(
    _: *mut c_void,
    message: *mut *mut c_char,
    api: *mut c_void,
) -> c_int {
    // SAFETY: passed on as received.
    unsafe { hotswap_core::worker::adopt_sqlite(message, api) }
}
