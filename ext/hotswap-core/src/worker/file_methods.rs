//! The functions by which SQLite reads one open file, some of them replaced by ours.

use std::marker::PhantomData;

use rusqlite::{ffi, Connection};

/// While it lives, the main file of a connection is read by other functions.
pub struct FileMethods<'a> {
    file: *mut ffi::sqlite3_file,
    theirs: *const ffi::sqlite3_io_methods,
    _ours: Box<ffi::sqlite3_io_methods>,
    _connection: PhantomData<&'a Connection>,
}

impl<'a> FileMethods<'a> {
    /// Has `change` replace what it wants of a copy of the functions that are there.
    pub fn of(connection: &'a Connection, change: impl FnOnce(&mut ffi::sqlite3_io_methods)) -> Self {
        let file = main_file(connection);
        // SAFETY: an open file has methods, a plain table of functions, shared by all files of their kind. Only this
        // one file gets another table, which lives as long as we do; the connection, and with it the file, outlive us.
        unsafe {
            let theirs = (*file).pMethods;
            let mut ours = Box::new(*theirs);
            change(&mut ours);
            (*file).pMethods = &*ours;
            Self {
                file,
                theirs,
                _ours: ours,
                _connection: PhantomData,
            }
        }
    }
}

impl Drop for FileMethods<'_> {
    fn drop(&mut self) {
        // SAFETY: the connection outlives us, and with it the file.
        unsafe { (*self.file).pMethods = self.theirs };
    }
}

/// The file of the main database, which every connection to a file has.
pub fn main_file(connection: &Connection) -> *mut ffi::sqlite3_file {
    let mut file: *mut ffi::sqlite3_file = std::ptr::null_mut();
    // SAFETY: the handle lives as long as `connection`; this request fills in a pointer to a file.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            std::ptr::from_mut(&mut file).cast(),
        )
    };
    assert!(
        code == ffi::SQLITE_OK && !file.is_null(),
        "a database without a file"
    );
    file
}
