//! The entry point that SQLite calls when it loads this library as an extension. SQLite passes its own interface.

use std::ffi::{c_char, c_int, c_void};

/// `sqlite3_load_extension` calls this. From then on the worker uses the application's SQLite.
///
/// # Safety
///
/// SQLite calls it with a valid connection, a place for a message, and its table of functions.
#[no_mangle]
pub(crate) unsafe extern "C" fn sqlite3_extension_init(
    _: *mut c_void,
    message: *mut *mut c_char,
    api: *mut c_void,
) -> c_int {
    // SAFETY: passed on as received.
    unsafe { hotswap_core::worker::adopt_sqlite(message, api) }
}
