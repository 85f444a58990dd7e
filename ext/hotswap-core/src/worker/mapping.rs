//! The file that SQLite checks, read where it lies in the page cache instead of copied from there.
//!
//! With `mmap_size` a check takes two thirds of the time: it reads every page at least twice, and a call of the
//! system and a copy cost as much as what it does with the page. But what is mapped counts as memory of this
//! process once it was touched, and a check touches all of it. So what it touches is noted as SQLite asks for it,
//! and let go in portions: that takes it out of our memory and not out of the page cache.
//!
//! A disk that fails to read a mapped page ends the process with SIGBUS instead of an error. It costs this push,
//! as any end of a worker does; the bytes were written by this very process a moment ago.

use std::cell::RefCell;
use std::ffi::{c_int, c_void};

use rusqlite::{ffi, Connection};

use super::file_methods::{main_file, FileMethods};

/// What the kernel maps at a touch, in bytes: its neighbours come along.
const BLOCK: u64 = 64 * 1024;
/// How many blocks may be mapped: 16 MB.
const MOST: usize = 256;

thread_local! {
    /// The mapping that SQLite reads in this thread.
    static CURRENT: RefCell<Option<Mapping>> = const { RefCell::new(None) };
}

/// Runs `work`, which reads the main database of `connection`, a file of `length` bytes that nobody changes, with
/// the file mapped where SQLite can do that.
pub fn mapped<T>(connection: &Connection, length: u64, work: impl FnOnce() -> T) -> T {
    let Some(mapping) = map(connection, length) else {
        return work();
    };
    CURRENT.with(|current| current.replace(Some(mapping)));
    let methods = FileMethods::of(connection, |ours| ours.xFetch = Some(fetch));
    let done = work();
    drop(methods);
    if let Some(mut mapping) = CURRENT.take() {
        mapping.let_go();
    }
    done
}

/// Has SQLite map as much of the file as its build allows, and says where.
fn map(connection: &Connection, length: u64) -> Option<Mapping> {
    let allowed: i64 = connection
        .query_row(&format!("PRAGMA mmap_size={length}"), [], |row| row.get(0))
        .ok()?;
    let length = length.min(u64::try_from(allowed).ok()?);
    let file = main_file(connection);
    // SAFETY: the file is open for as long as the connection, and an open file has methods.
    let methods = unsafe { (*file).pMethods.as_ref()? };
    if methods.iVersion < 3 {
        return None;
    }
    let mut first_page = std::ptr::null_mut();
    // SAFETY: as SQLite's own pager asks for a page. What is given back at once stays mapped.
    unsafe {
        if methods.xFetch?(file, 0, 512, &mut first_page) != ffi::SQLITE_OK || first_page.is_null() {
            return None;
        }
        methods.xUnfetch?(file, 0, first_page);
    }
    Some(Mapping {
        methods,
        address: first_page,
        length: usize::try_from(length).ok()?,
        touched: vec![false; length.div_ceil(BLOCK) as usize],
        blocks: 0,
    })
}

/// Where SQLite has mapped a file, for as long as that is open and keeps its length.
struct Mapping {
    methods: *const ffi::sqlite3_io_methods,
    address: *mut c_void,
    length: usize,
    /// By block.
    touched: Vec<bool>,
    blocks: usize,
}

impl Mapping {
    fn touch(&mut self, offset: u64) {
        let Some(touched) = self.touched.get_mut((offset / BLOCK) as usize) else {
            return; // Past what is mapped: SQLite reads that.
        };
        if !std::mem::replace(touched, true) {
            self.blocks += 1;
            if self.blocks > MOST {
                self.let_go();
            }
        }
    }

    fn let_go(&mut self) {
        self.touched.fill(false);
        self.blocks = 0;
        // SAFETY: the region is a mapping of a file that SQLite made and keeps. Nobody writes to it, so its pages
        // read the same when they are touched again, also those that are in use.
        unsafe { libc::madvise(self.address, self.length, libc::MADV_DONTNEED) };
    }
}

unsafe extern "C" fn fetch(
    file: *mut ffi::sqlite3_file,
    offset: ffi::sqlite3_int64,
    length: c_int,
    page: *mut *mut c_void,
) -> c_int {
    let theirs = CURRENT.with_borrow_mut(|current| {
        let mapping = current.as_mut()?;
        mapping.touch(offset as u64);
        // SAFETY: a table of functions that lives as long as the library.
        unsafe { (*mapping.methods).xFetch }
    });
    match theirs {
        // SAFETY: passed on as they came.
        Some(theirs) => unsafe { theirs(file, offset, length, page) },
        None => ffi::SQLITE_ERROR,
    }
}
