//! The files of the record.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{fchown, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use super::entry::{now, parsed, Entry, LONGEST_LINE};
use crate::leftovers::{self, is_absent};
use crate::sys::birth;
use crate::sys::file_lock;
use crate::sys::identity::Identity;
use crate::sys::unnamed;

const SUFFIX: &str = ".hotswap.log";
const OLDER: &str = ".hotswap.log.1";

/// The length at which a new file begins, in bytes.
pub(super) const LONGEST: u64 = 1024 * 1024;

/// The files of the record of `database` (its resolved path), the newer one first.
pub fn paths_of(database: &Path) -> [PathBuf; 2] {
    [SUFFIX, OLDER].map(|suffix| {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        path.into()
    })
}

/// How long a worker waits for its turn.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) fn append(database: &Path, entry: Entry) -> io::Result<()> {
    let [path, older] = paths_of(database);
    loop {
        let mut file = open_to_append(&path, database)?;
        let is_locked = lock(&file);
        // Another worker has moved it in the meantime.
        if is_locked && !leads_to(&path, &file) {
            continue;
        }
        let length = file.metadata()?.len();
        let line = Entry {
            time: now(),
            sequence: last_number(&file, length, &older).saturating_add(1),
            ..entry.clone()
        }
        .into_line()?;
        if is_locked && length > 0 && length + line.len() as u64 + 1 > LONGEST {
            begin_anew(&file, &path, &older, database)?;
            continue;
        }
        return write(&mut file, length, &line, is_locked);
    }
}

/// How many swaps a new file begins with.
const CARRIED: usize = 20;

/// Makes the file the older one, and begins a new one with its newest swaps: pulls, of which there may be many, must
/// not push out what a rollback and `hotswap status` ask for.
fn begin_anew(file: &File, path: &Path, older: &Path, database: &Path) -> io::Result<()> {
    let swaps: Vec<_> = lines_of(file.try_clone()?)?
        .into_iter()
        .filter(|line| parsed::<Entry>(line).is_some_and(|entry| entry.event.is_a_swap()))
        .collect();
    let newest = &swaps[swaps.len().saturating_sub(CARRIED)..];
    let begun = Draft::of(newest, database);
    std::fs::rename(path, older)?;
    // If this fails, the new file begins with its next entry. It fails if another worker has created a file there.
    let _ = begun.and_then(|begun| begun.put_at(path));
    Ok(())
}

/// A file that gets its name when it is complete.
enum Draft {
    /// If the worker is killed, nothing stays.
    Unnamed(File),
    /// Not every system and file system has files without a name. If the worker is killed, the next sweep removes this one.
    Named(NamedTempFile),
}

impl Draft {
    fn of(lines: &[String], database: &Path) -> io::Result<Self> {
        let folder = database.parent().unwrap_or(Path::new("/"));
        let draft = match unnamed::create(folder) {
            Ok(file) => Draft::Unnamed(file),
            Err(_) => {
                let prefix = leftovers::prefix(database);
                let mut options = tempfile::Builder::new();
                let named = options
                    .prefix(&prefix)
                    .suffix(leftovers::STAGED)
                    .tempfile_in(folder)?;
                leftovers::mark(named.as_file())?;
                Draft::Named(named)
            }
        };
        let mut file = match &draft {
            Draft::Unnamed(file) => file,
            Draft::Named(named) => named.as_file(),
        };
        adopt_owner_and_mode(file, database)?;
        for line in lines {
            writeln!(file, "{line}")?;
        }
        Ok(draft)
    }

    /// Gives the file its name, unless there is a file already.
    fn put_at(self, path: &Path) -> io::Result<()> {
        match self {
            Draft::Unnamed(file) => unnamed::link(&file, path),
            Draft::Named(named) => named
                .persist_noclobber(path)
                .map(drop)
                .map_err(|error| error.error),
        }
    }
}

fn write(file: &mut File, length: u64, line: &[u8], is_locked: bool) -> io::Result<()> {
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    let begin: &[u8] = if last == [b'\n'] { b"" } else { b"\n" };
    let whole = [begin, line].concat();
    let written = file.write(&whole);
    if is_locked && !matches!(written, Ok(all) if all == whole.len()) {
        // The disk is full. If the rest of the line stays, readers skip it.
        let _ = file.set_len(length);
    }
    match written? {
        all if all == whole.len() => Ok(()),
        // The kernel reports the reason only to a write that gets nothing done.
        _ => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
    }
}

/// The number of the last entry, or 0.
fn last_number(file: &File, length: u64, older: &Path) -> u64 {
    let last_in = |file: &File, length: u64| {
        // Two lines: the last one may be a part.
        let begin = length.saturating_sub(2 * LONGEST_LINE as u64);
        let mut end = vec![0; (length - begin) as usize];
        file.read_exact_at(&mut end, begin).ok()?;
        let lines = end.split(|byte| *byte == b'\n').rev();
        lines
            .filter_map(|line| parsed::<Entry>(std::str::from_utf8(line).ok()?))
            .map(|entry| entry.sequence)
            .next()
    };
    let of_older = || {
        let file = open_to_read(older).ok().flatten()?;
        last_in(&file, file.metadata().ok()?.len())
    };
    // A new file may begin with entries of the older one.
    last_in(file, length).max(of_older()).unwrap_or(0)
}

/// Opens the file. If there is none, creates it with the owner, the group and the mode of the database.
fn open_to_append(path: &Path, database: &Path) -> io::Result<File> {
    let mut options = options();
    options.append(true);
    match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        opened => return require_file(opened?),
    }
    match options.create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            adopt_owner_and_mode(&file, database)?;
            Ok(file)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => open_to_append(path, database),
        Err(error) => Err(error),
    }
}

fn adopt_owner_and_mode(file: &File, database: &Path) -> io::Result<()> {
    let Ok(live) = std::fs::metadata(database) else {
        let folder = database.parent().unwrap_or(Path::new("/"));
        return birth::give_to_owner_of(folder, file);
    };
    // Some file systems have neither, and only root may give a file away.
    let _ = file.set_permissions(Permissions::from_mode(live.mode() & 0o666 | 0o600));
    let give = |owner| fchown(file, owner, Some(live.gid()));
    let _ = give(Some(live.uid())).or_else(|_| give(None));
    Ok(())
}

fn open_to_read(path: &Path) -> io::Result<Option<File>> {
    match options().open(path) {
        Err(error) if is_absent(&error) => Ok(None),
        opened => require_file(opened?).map(Some),
    }
}

/// A pipe in place of the file would make its opener wait.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

fn require_file(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}

/// Waits for the turn of this worker. Returns whether it has come.
fn lock(file: &File) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if file_lock::try_lock(file) {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn leads_to(path: &Path, file: &File) -> bool {
    let (there, own) = (std::fs::symlink_metadata(path), file.metadata());
    matches!((there, own), (Ok(there), Ok(own)) if Identity::of(&there) == Identity::of(&own))
}

/// The lines of both files, oldest first. The newer file is opened first: if it moves in between, it is found again as
/// the older one.
pub(super) fn lines(database: &Path) -> io::Result<Vec<String>> {
    let [newer, older] = paths_of(database).map(|path| open_to_read(&path));
    let (newer, older) = (newer?, older?);
    let identity = |file: &Option<File>| Some(Identity::of(&file.as_ref()?.metadata().ok()?));
    let has_moved = newer.is_some() && identity(&newer) == identity(&older);
    let files = [older.filter(|_| !has_moved), newer];
    let (mut lines, mut last) = (Vec::new(), None);
    for file in files.into_iter().flatten() {
        // The newer file begins with swaps that the older one may have as well.
        let known = last;
        for line in lines_of(file)? {
            let number = parsed::<Entry>(&line).map(|entry| entry.sequence);
            if number.is_none() || number > known {
                last = last.max(number);
                lines.push(line);
            }
        }
    }
    Ok(lines)
}

fn lines_of(file: File) -> io::Result<Vec<String>> {
    let mut lines = Backwards::of(file)?.collect::<io::Result<Vec<_>>>()?;
    lines.reverse();
    Ok(lines)
}

/// The lines of both files, the newest first. The newer file may begin with swaps that the older one has as well. The
/// caller gets them twice.
pub(super) fn newest_first(database: &Path) -> io::Result<impl Iterator<Item = String>> {
    let [newer, older] = paths_of(database);
    let of = |path: &Path| open_to_read(path)?.map(Backwards::of).transpose();
    let newer = of(&newer)?;
    let older = std::iter::once_with(move || of(&older).ok().flatten()).flatten();
    Ok(newer.into_iter().chain(older).flatten().map_while(io::Result::ok))
}

/// How much is read at once. Most readers need only the newest lines.
const BLOCK: u64 = 16 * 1024;

/// The lines of one file, the newest first.
struct Backwards {
    file: File,
    /// What is not read yet, in bytes from the beginning of the file.
    unread: std::ops::Range<u64>,
    /// What was read of the line that goes on before it.
    part: Vec<u8>,
    /// The lines of the last block, the newest one last.
    lines: Vec<String>,
}

impl Backwards {
    fn of(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            // Another program may have made it longer than hotswap does.
            unread: length.saturating_sub(2 * LONGEST)..length,
            part: Vec::new(),
            lines: Vec::new(),
        })
    }

    fn read_block(&mut self) -> io::Result<()> {
        let begin = self.unread.end.saturating_sub(BLOCK).max(self.unread.start);
        let mut content = vec![0; (self.unread.end - begin) as usize];
        self.file.read_exact_at(&mut content, begin)?;
        content.append(&mut self.part);
        self.unread.end = begin;
        let whole = match self.unread.is_empty() {
            true => 0,
            false => content
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(content.len(), |at| at + 1),
        };
        let lines = content[whole..].split(|byte| *byte == b'\n');
        let lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
        self.lines = lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        content.truncate(whole);
        self.part = content;
        Ok(())
    }
}

impl Iterator for Backwards {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.lines.is_empty() && !self.unread.is_empty() {
            if let Err(error) = self.read_block() {
                self.unread = 0..0;
                return Some(Err(error));
            }
        }
        self.lines.pop().map(Ok)
    }
}
