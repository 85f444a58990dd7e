//! Why a database is written into instead of being replaced.

use std::path::Path;
use std::time::Duration;

use super::super::preflight::Obstacle;
use super::super::strangers;
use crate::protocol::InPlace;

/// See the module. Its words go on after "in place, because the database ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing else was asked for.
    Asked,
    /// The file cannot be replaced.
    Obstacle(Obstacle),
    /// It can, but these would go on with the replaced one.
    Strangers(String),
}

impl Why {
    /// What can be known before anybody is asked to wait.
    pub fn foreseen(choice: InPlace, obstacle: Option<Obstacle>, live: &Path) -> Option<Self> {
        match (choice, obstacle) {
            (InPlace::Never, _) => None,
            (_, Some(obstacle)) => Some(Why::Obstacle(obstacle)),
            (_, None) => match staying_strangers(live) {
                names if !names.is_empty() => Some(Why::Strangers(strangers::phrase(names))),
                _ if choice == InPlace::Always => Some(Why::Asked),
                _ => None,
            },
        }
    }

    /// What makes the other way possible, which takes no time.
    pub fn cure(&self) -> String {
        match self {
            Why::Asked => "leave out --in-place=always".into(),
            Why::Obstacle(Obstacle::HardLinks(_)) => "remove the other names of the file".into(),
            Why::Obstacle(Obstacle::SingleFileMount) => "mount the folder instead of the file".into(),
            Why::Obstacle(Obstacle::StickyFolder) => "take the sticky bit from the folder".into(),
            Why::Strangers(who) => format!("close it in {who}"),
        }
    }
}

/// Those that are there twice: a member that just ends has closed its fence, and is no stranger.
fn staying_strangers(live: &Path) -> Vec<String> {
    let mut names = strangers::outside_the_fleet(live);
    if !names.is_empty() {
        std::thread::sleep(Duration::from_millis(30));
        let there = strangers::outside_the_fleet(live);
        names.retain(|name| there.contains(name));
    }
    names
}

impl std::fmt::Display for Why {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Asked => out.write_str("is to keep its file, by --in-place=always"),
            Why::Obstacle(obstacle) => obstacle.fmt(out),
            Why::Strangers(who) => write!(out, "is open in {who}"),
        }
    }
}
