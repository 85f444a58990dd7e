//! The SQLite of the system, for tests that need a database.

use std::ffi::{c_char, c_int, c_void};

use rusqlite::ffi;

use super::host::adopt_sqlite;
use crate::testing::pending;

/// Makes the system's SQLite pass its functions to this library, as the application's SQLite does in a worker.
/// Returns false if there is none, and says so.
pub(crate) fn adopt_the_systems_sqlite() -> bool {
    unsafe extern "C" fn adopt(_: *mut ffi::sqlite3, message: *mut *mut c_char, api: *mut c_void) -> c_int {
        // SAFETY: SQLite passes its own table.
        match unsafe { adopt_sqlite(message, api) } {
            ffi::SQLITE_OK_LOAD_PERMANENTLY => ffi::SQLITE_OK,
            error => error,
        }
    }
    type Adopt = unsafe extern "C" fn(*mut ffi::sqlite3, *mut *mut c_char, *mut c_void) -> c_int;
    // SAFETY: the library is never unloaded, and these three functions have these types in every version of it.
    unsafe {
        let library = libc::dlopen(c"libsqlite3.so.0".as_ptr(), libc::RTLD_NOW);
        if library.is_null() {
            pending("there is no libsqlite3.so.0 here");
            return false;
        }
        let find = |name: &std::ffi::CStr| libc::dlsym(library, name.as_ptr());
        let on_opening: extern "C" fn(Option<Adopt>) -> c_int =
            std::mem::transmute(find(c"sqlite3_auto_extension"));
        let open: extern "C" fn(*const c_char, *mut *mut ffi::sqlite3) -> c_int =
            std::mem::transmute(find(c"sqlite3_open"));
        let forget: extern "C" fn() = std::mem::transmute(find(c"sqlite3_reset_auto_extension"));
        let mut connection = std::ptr::null_mut();
        on_opening(Some(adopt));
        let opened = open(c":memory:".as_ptr(), &mut connection);
        forget();
        opened == ffi::SQLITE_OK
    }
}
