//! The previous versions of a database, which hotswap keeps next to it: `<database>.previous` is the newest one, then
//! come `<database>.previous.2`, `<database>.previous.3`, …
//!
//! Only a worker that holds the operation lock may move or remove a version.

mod hidden;
mod names;
#[cfg(test)]
mod testing;
mod versions;

pub(crate) use hidden::{hidden_names_of, recover, recovered, Hidden, Returned};
pub(crate) use names::{is_version, is_version_of_any, numbers, path_of, Numbers};
pub(crate) use versions::{mark_of, remove_oldest, require, set_foreign_aside, trim};
