//! Patterns of databases, for Ruby.

use hotswap_core::pattern::Pattern;
use magnus::{function, Error, Object, RModule};

use crate::file_name::FileName;

/// `find_in_pattern(pattern, path)`: the path of the database, as the pattern writes it. Nil if the pattern does not
/// match.
fn find(pattern: FileName, path: FileName) -> Option<FileName> {
    let (pattern, path) = (pattern.into_path(), path.into_path());
    Pattern::of(&pattern)?.find(&path).as_deref().map(FileName::of)
}

/// `files_in_pattern(pattern)`: the paths of the databases that exist.
fn files(pattern: FileName) -> Vec<FileName> {
    let pattern = pattern.into_path();
    let files = Pattern::of(&pattern).map(Pattern::files).unwrap_or_default();
    files.iter().map(|path| FileName::of(path)).collect()
}

pub(crate) fn define(native: RModule) -> Result<(), Error> {
    native.define_singleton_method("files_in_pattern", function!(files, 1))?;
    native.define_singleton_method("find_in_pattern", function!(find, 2))
}
