//! Extended attributes and access control lists. A file is replaced only where there was none, so there are none to
//! keep.

use std::fs::File;
use std::path::Path;

/// Gives `file` the attributes of the one at `path`.
pub fn keep(_path: &Path, _file: &File) {}

/// Whether `file` has an access control list.
pub fn has_access_list(_file: &File) -> bool {
    false
}
