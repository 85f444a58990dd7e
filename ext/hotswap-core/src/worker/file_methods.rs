//! The functions by which SQLite reads one open file, some of them replaced by ours.

use std::marker::PhantomData;

use rusqlite::{ffi, Connection};

/// While it lives, the main file of a connection is read by other functions, and `S` is what they know of it.
pub struct FileMethods<'a, S> {
    file: *mut ffi::sqlite3_file,
    ours: *mut Ours<S>,
    _connection: PhantomData<&'a Connection>,
}

/// The table comes first, so that who has the table has the rest: SQLite asks for pages millions of times.
#[repr(C)]
struct Ours<S> {
    methods: ffi::sqlite3_io_methods,
    theirs: *const ffi::sqlite3_io_methods,
    state: S,
}

impl<'a, S> FileMethods<'a, S> {
    /// Has `change` replace what it wants of a copy of the functions that are there.
    pub fn of(
        connection: &'a Connection,
        state: S,
        change: impl FnOnce(&mut ffi::sqlite3_io_methods),
    ) -> Self {
        let file = main_file(connection);
        // SAFETY: an open file has methods, a plain table of functions, shared by all files of their kind. Only this
        // one file gets another table, which lives as long as we do; the connection, and with it the file, outlive us.
        unsafe {
            let theirs = (*file).pMethods;
            let mut methods = *theirs;
            change(&mut methods);
            let ours = Box::into_raw(Box::new(Ours {
                methods,
                theirs,
                state,
            }));
            (*file).pMethods = ours.cast();
            Self {
                file,
                ours,
                _connection: PhantomData,
            }
        }
    }
}

impl<S> Drop for FileMethods<'_, S> {
    fn drop(&mut self) {
        // SAFETY: the connection outlives us, and with it the file; the table was made by us, and is freed once.
        unsafe {
            (*self.file).pMethods = (*self.ours).theirs;
            drop(Box::from_raw(self.ours));
        }
    }
}

/// For a function that replaces another: what it knows.
///
/// # Safety
///
/// SQLite has called it for a `file` of which [`FileMethods<S>`](FileMethods) has replaced it, and the answer is not
/// used any more when it returns.
pub unsafe fn state<'a, S>(file: *mut ffi::sqlite3_file) -> &'a mut S {
    // SAFETY: the table is the first of what `FileMethods::of` has made; a file is read by one thread at a time.
    unsafe { &mut (*(*file).pMethods.cast_mut().cast::<Ours<S>>()).state }
}

/// The file of the main database, which every connection to a file has.
fn main_file(connection: &Connection) -> *mut ffi::sqlite3_file {
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
