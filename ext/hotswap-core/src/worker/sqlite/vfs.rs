//! The file system as SQLite sees it while it has a file from another source open.
//!
//! The files next to a database affect what SQLite does with it: SQLite plays back a hot journal, reads a WAL, and
//! deletes the file that a journal names as its super-journal, which can be any file. So SQLite opens such a
//! database through a VFS that shows nothing next to it, or only its own WAL or journal. This holds no matter who put
//! which file there, and when.

use std::ffi::{c_char, c_int, CStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

use rusqlite::{ffi, Connection, OpenFlags};

use crate::error::{Context, Failed, Result};

/// The purpose of a connection. It determines which files next to the database SQLite sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reads the file, while no process writes it. SQLite sees nothing next to it.
    Reading,
    /// Reads and writes the file. SQLite sees nothing next to it, but can create a journal if there is none. The
    /// header must not ask for WAL mode.
    Changing,
    /// Moves its `-wal` or its `-journal` into the file. SQLite sees these.
    Merging,
}

const NOTHING: &CStr = c"hotswap-nothing-beside";
const ITS_LOG: &CStr = c"hotswap-its-log-beside";
const OPEN_FILE: &CStr = c"hotswap-open-file";

/// Opens the file at `path`. Sets no limits: see [`Foreign`](crate::worker::sqlite::foreign::Foreign).
pub(crate) fn open(path: &Path, purpose: Purpose) -> Result<Connection> {
    let reading = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let writing = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let immutable = immutable(path);
    let (name, flags, vfs) = match purpose {
        Purpose::Reading => (Path::new(&immutable), reading, NOTHING),
        Purpose::Changing => (path, writing, NOTHING),
        Purpose::Merging => (path, writing, ITS_LOG),
    };
    unix()?;
    let opened = Connection::open_with_flags_and_vfs(name, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX, vfs);
    opened.on_path("cannot open", path)
}

/// The URI of a file that no process writes. SQLite opens it without a lock, for reading only.
pub(crate) fn immutable(path: &Path) -> String {
    format!("file:{}?immutable=1", escape(path))
}

/// How the names begin that mean a descriptor of this process. Only [`open_or_take`] reads them.
const DESCRIPTORS: &str = "/proc/self/fd/";

/// Opens a file that no process writes, for reading only, by a descriptor that has to stay open until then. `None` if
/// that cannot be done.
pub(crate) fn read_descriptor(descriptor: RawFd) -> Option<Connection> {
    let uri = uri_of_descriptor(descriptor)? + "&immutable=1";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).ok()
}

/// A URI by which SQLite opens the file of this descriptor, for as long as that is open. The worker may not be allowed
/// to open the file by itself, and it may have no name. `None` if this SQLite cannot do that.
pub(crate) fn uri_of_descriptor(descriptor: RawFd) -> Option<String> {
    static TAKES_DESCRIPTORS: OnceLock<bool> = OnceLock::new();
    let unix = unix().ok()?.0;
    let takes_descriptors = TAKES_DESCRIPTORS.get_or_init(|| {
        // SAFETY: SQLite calls the function with the arguments of its own `open`, whose type is this one.
        unsafe {
            let open = std::mem::transmute::<
                unsafe extern "C" fn(*const c_char, c_int, c_int) -> c_int,
                unsafe extern "C" fn(),
            >(open_or_take);
            let set = (*unix).xSetSystemCall;
            set.is_some_and(|set| set(unix, c"open".as_ptr(), Some(open)) == ffi::SQLITE_OK)
        }
    });
    let vfs = OPEN_FILE.to_string_lossy();
    takes_descriptors.then(|| format!("file:{DESCRIPTORS}{descriptor}?vfs={vfs}"))
}

/// `open` for SQLite's file system: takes another descriptor of a file that is open, and otherwise does what `open`
/// does.
unsafe extern "C" fn open_or_take(path: *const c_char, flags: c_int, mode: c_int) -> c_int {
    // SAFETY: SQLite calls this function with a path.
    unsafe {
        let name = CStr::from_ptr(path).to_str().ok();
        let descriptor = name.and_then(|name| name.strip_prefix(DESCRIPTORS));
        match descriptor.and_then(|number| number.parse().ok()) {
            Some(descriptor) => libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3),
            None => libc::open(path, flags, mode),
        }
    }
}

/// The path as it is: the file behind a descriptor may have no other.
unsafe extern "C" fn same_path(
    _: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    room: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite calls this function with a path, and with room for as many bytes as it says.
    unsafe {
        let bytes = CStr::from_ptr(name).to_bytes_with_nul();
        if bytes.len() > room as usize {
            return ffi::SQLITE_CANTOPEN;
        }
        std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
        ffi::SQLITE_OK
    }
}

/// Escapes a path for an SQLite URI.
fn escape(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    let plain = |byte: &u8| matches!(byte, b'/' | b'.' | b'-' | b'_') || byte.is_ascii_alphanumeric();
    bytes
        .map(|byte| match plain(byte) {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02x}"),
        })
        .collect()
}

/// SQLite's own file system. It is never unregistered, and its functions may be called from any thread.
struct Unix(*mut ffi::sqlite3_vfs);

// SAFETY: see the type.
unsafe impl Send for Unix {}
// SAFETY: see the type.
unsafe impl Sync for Unix {}

static UNIX: OnceLock<Option<Unix>> = OnceLock::new();

/// Finds SQLite's file system. The first call also registers hotswap's own.
fn unix() -> Result<&'static Unix> {
    let found = UNIX.get_or_init(|| {
        // SAFETY: the names and the structures live as long as the process. SQLite's own structure is only read.
        unsafe {
            let unix = ffi::sqlite3_vfs_find(c"unix".as_ptr());
            let theirs = unix.as_ref()?;
            for name in [NOTHING, ITS_LOG, OPEN_FILE] {
                let is_open = name == OPEN_FILE;
                let ours = Box::leak(Box::new(ffi::sqlite3_vfs {
                    zName: name.as_ptr(),
                    pNext: std::ptr::null_mut(),
                    xOpen: Some(open_file),
                    xDelete: Some(delete),
                    xAccess: Some(access),
                    xFullPathname: if is_open {
                        Some(same_path)
                    } else {
                        theirs.xFullPathname
                    },
                    ..*theirs
                }));
                if ffi::sqlite3_vfs_register(ours, 0) != ffi::SQLITE_OK {
                    return None;
                }
            }
            Some(Unix(unix))
        }
    });
    let found = found.as_ref();
    found.ok_or_else(|| Failed::NoFileSystem.into())
}

/// Whether SQLite's own file system reads and writes the files of this connection, directly or through one of
/// hotswap's.
pub(crate) fn is_sqlites_own(connection: &Connection) -> bool {
    let Ok(unix) = unix() else { return false };
    let mut vfs: *mut ffi::sqlite3_vfs = std::ptr::null_mut();
    // SAFETY: the connection is open, SQLite writes a pointer to its file system, and both file systems stay.
    // `pAppData` finds the functions for a file, and hotswap's file systems have a copy of it.
    unsafe {
        let out = std::ptr::from_mut(&mut vfs).cast();
        let op = ffi::SQLITE_FCNTL_VFS_POINTER;
        let code = ffi::sqlite3_file_control(connection.handle(), c"main".as_ptr(), op, out);
        code == ffi::SQLITE_OK && vfs.as_ref().is_some_and(|vfs| vfs.pAppData == (*unix.0).pAppData)
    }
}

/// Whether `vfs` is one that shows nothing next to a database.
///
/// # Safety
///
/// `vfs` must be one of hotswap's own.
unsafe fn is_alone(vfs: *mut ffi::sqlite3_vfs) -> bool {
    // SAFETY: as the caller says.
    !std::ptr::eq(unsafe { (*vfs).zName }, ITS_LOG.as_ptr())
}

fn theirs() -> *mut ffi::sqlite3_vfs {
    let unix = UNIX.get().and_then(Option::as_ref);
    unix.expect("our functions are registered after it was found").0
}

unsafe extern "C" fn open_file(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let is = |kind: c_int| flags & kind != 0;
    // SAFETY: SQLite calls this function for hotswap's VFS, with room for a file, and all arguments are valid for
    // its own VFS, too.
    unsafe {
        let alone = is_alone(vfs);
        let makes_a_journal = is(ffi::SQLITE_OPEN_MAIN_JOURNAL) && is(ffi::SQLITE_OPEN_CREATE);
        let beside = is(ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL);
        if is(ffi::SQLITE_OPEN_SUPER_JOURNAL) || (alone && beside && !makes_a_journal) {
            (*file).pMethods = std::ptr::null();
            return ffi::SQLITE_CANTOPEN;
        }
        let new = if alone && makes_a_journal {
            ffi::SQLITE_OPEN_EXCLUSIVE
        } else {
            0
        };
        let open = (*theirs()).xOpen.expect("every file system opens files");
        open(theirs(), name, file, flags | new, out)
    }
}

/// Deletes only files next to a database. Temporary files have no name any more when they are used.
unsafe extern "C" fn delete(_: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite calls this function with a name, and both arguments are valid for its own VFS, too.
    unsafe {
        let name_of = CStr::from_ptr(name).to_bytes();
        if !name_of.ends_with(b"-wal") && !name_of.ends_with(b"-journal") {
            return ffi::SQLITE_IOERR_DELETE;
        }
        let delete = (*theirs()).xDelete.expect("every file system deletes files");
        delete(theirs(), name, sync)
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls this function for hotswap's VFS, with room for the answer, and all arguments are valid
    // for its own VFS, too.
    unsafe {
        if is_alone(vfs) {
            *out = 0;
            return ffi::SQLITE_OK;
        }
        let access = (*theirs()).xAccess.expect("every file system is asked");
        access(theirs(), name, flags, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    use crate::worker::sqlite::system::adopt_the_systems_sqlite;

    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

    fn database(path: &Path) {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("CREATE TABLE items (name)").unwrap();
    }

    fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    }

    #[test]
    fn a_file_without_a_name_is_written_by_its_descriptor() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let file = tempfile::tempfile().unwrap();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_URI;
        let uri = uri_of_descriptor(file.as_raw_fd()).unwrap();
        let connection = Connection::open_with_flags(&uri, flags).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF; CREATE TABLE items (name); INSERT INTO items VALUES (1)",
            )
            .unwrap();
        let other = Connection::open_in_memory().unwrap();
        other.execute("ATTACH ?1 AS file", [&uri]).unwrap();
        for reader in [&read_descriptor(file.as_raw_fd()).unwrap(), &other] {
            let names: i64 = reader
                .query_row("SELECT count(*) FROM items", [], |row| row.get(0))
                .unwrap();
            assert_eq!(names, 1);
        }
    }

    /// Writes a hot journal without pages that names a super-journal.
    fn write_journal(database: &Path, names: &Path) {
        let name = names.to_str().unwrap().as_bytes();
        let mut journal = [&MAGIC[..], &[0; 4], &[0; 3], &[1], &[0; 3], &[2]].concat();
        journal.extend(512_u32.to_be_bytes());
        journal.extend(4096_u32.to_be_bytes());
        journal.resize(512, 0);
        journal.extend(0x0004_0001_u32.to_be_bytes());
        journal.extend(name);
        journal.extend((name.len() as u32).to_be_bytes());
        journal.extend(
            name.iter()
                .map(|byte| u32::from(*byte))
                .sum::<u32>()
                .to_be_bytes(),
        );
        journal.extend(MAGIC);
        std::fs::write(beside(database, "-journal"), journal).unwrap();
    }

    fn read(connection: &Connection) -> rusqlite::Result<i64> {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
    }

    #[test]
    fn a_file_that_a_journal_names_is_not_deleted() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (path, named) = (
            folder.path().join("new.sqlite3"),
            folder.path().join("secret.key"),
        );
        database(&path);
        std::fs::write(&named, "secret").unwrap();
        for purpose in [Purpose::Reading, Purpose::Changing, Purpose::Merging] {
            write_journal(&path, &named);
            // It does not matter whether SQLite can read such a file.
            let _ = open(&path, purpose).map(|connection| read(&connection).is_ok());
            assert!(named.exists(), "{purpose:?}");
        }
        // SQLite alone does delete the file. If it did not, this test would prove nothing.
        write_journal(&path, &named);
        read(&Connection::open(&path).unwrap()).unwrap();
        assert!(!named.exists());
    }

    #[test]
    fn what_lies_beside_a_file_is_not_read_where_nothing_is_to_be_seen() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.sqlite3");
        database(&path);
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE more (name)")
            .unwrap();
        std::fs::copy(&path, folder.path().join("copy")).unwrap();
        let copy = folder.path().join("copy");
        let log = std::fs::read(beside(&path, "-wal")).unwrap();
        for suffix in ["-wal", "-journal"] {
            std::fs::write(beside(&copy, suffix), &log).unwrap();
        }
        let file = std::fs::OpenOptions::new().write(true).open(&copy).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[1, 1], 18).unwrap();

        let connection = open(&copy, Purpose::Changing).unwrap();
        assert_eq!(read(&connection).unwrap(), 1);
        // SQLite does not use the existing journal: it fails, and removes the file.
        assert!(connection.execute_batch("DROP TABLE items").is_err());
        let into = folder.path().join("another");
        let vacuum = format!("DROP TABLE items; VACUUM; VACUUM INTO '{}'", into.display());
        connection.execute_batch(&vacuum).unwrap();
        drop(connection);
        assert_eq!(std::fs::read(beside(&copy, "-wal")).unwrap(), log);
        assert!(!beside(&copy, "-journal").exists());
        assert_eq!(read(&open(&into, Purpose::Reading).unwrap()).unwrap(), 0);
    }

    #[test]
    fn a_log_is_read_in_where_it_is_to_be_seen() {
        if !adopt_the_systems_sqlite() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.sqlite3");
        database(&path);
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE more (name)")
            .unwrap();
        let copy = folder.path().join("copy");
        for suffix in ["", "-wal"] {
            std::fs::copy(beside(&path, suffix), beside(&copy, suffix)).unwrap();
        }
        assert_eq!(read(&open(&copy, Purpose::Merging).unwrap()).unwrap(), 2);
    }
}
