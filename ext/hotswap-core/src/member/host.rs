//! The application around a member.

use std::path::Path;
use std::time::Duration;

use super::outdated::CatchingUp;
use crate::fence::report::Running;

/// What a member asks of the application around it.
pub trait Host: Send + Sync {
    /// Lets the application get ready for a swap of the database. The gate is open. Returns within a second or so.
    fn prepare(&self, database: &Path);
    /// Closes every connection of the database, within `timeout`. The text of a refusal goes to the user.
    fn disconnect(&self, database: &Path, timeout: Duration) -> std::result::Result<(), String>;
    /// Forgets the cached schema of the database. Called with the fence lock held again.
    fn refresh(&self, database: &Path);
    /// Reports that a database has been replaced and that work goes on, after it was `held` up for that long. The
    /// application drops `one` when it has caught up. Must not wait.
    fn swapped(&self, one: CatchingUp, held: Duration);
    /// The units that have been inside the gate for `age` or longer; only those that use `database`, if one is given.
    fn running(&self, database: Option<&Path>, age: Duration) -> Vec<Running>;
    /// Whether the application neither has a connection to the database nor keeps a pool for one. `None` if
    /// that may change unnoticed, as the garbage collector closes a connection, or if it does not answer soon.
    fn keeps_nothing_of(&self, database: &Path) -> Option<bool>;
}
