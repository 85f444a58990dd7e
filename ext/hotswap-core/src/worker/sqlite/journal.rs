//! A rollback journal next to a pushed file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The first bytes of a journal, and the last bytes of a super-journal record.
const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Whether the journal belongs to a transaction over several databases. Such a journal ends with a file name, the
/// length of the name, its checksum, and the magic number. The file of that name, the super-journal, decides whether
/// the transaction was committed. SQLite deletes it after it has played back the last journal that names it.
///
/// SQLite looks only at the end of the journal (pager.c, `readSuperJournal`), no matter what comes before. A record
/// with a wrong checksum or length, which SQLite would ignore, counts as well, because its original content is
/// unknown.
pub(crate) fn is_of_several_databases(journal: &File) -> io::Result<bool> {
    let length = journal.metadata()?.len();
    let Some(last) = length.checked_sub(MAGIC.len() as u64) else {
        return Ok(false);
    };
    let mut end = [0; MAGIC.len()];
    journal.read_exact_at(&mut end, last)?;
    Ok(end == MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn is_of_several(bytes: &[u8]) -> bool {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        is_of_several_databases(&file).unwrap()
    }

    #[test]
    fn a_journal_that_ends_with_the_magic_number_is_of_several_databases() {
        let header = [&MAGIC[..], &[0; 504]].concat();
        let record = [b"/tmp/super", &[0, 0, 0, 10, 0, 0, 4, 0][..], &MAGIC].concat();
        for of_several in [&[&header[..], &record].concat()[..], &record, &MAGIC] {
            assert!(is_of_several(of_several));
        }
        for of_one in [&header[..], &[&header[..], &[1; 5000]].concat(), b"", &MAGIC[..7]] {
            assert!(!is_of_several(of_one));
        }
    }
}
