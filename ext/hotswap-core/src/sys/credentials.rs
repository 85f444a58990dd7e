//! The user and the groups of a process, as far as they decide about access to files.

/// What the kernel compares with the owner and the mode of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// The other groups.
    pub groups: Vec<u32>,
    /// Whether the process may open a file no matter what its mode says.
    pub ignores_modes: bool,
}
