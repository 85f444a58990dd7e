//! Why the worker writes into a database instead of replacing it.

use std::path::Path;
use std::time::Duration;

use crate::holders::Strangers;
use crate::in_place::InPlace;
use crate::sys::processes::Bound;
use crate::worker::push::obstacle::Obstacle;

/// The reason. Its text completes "in place, because the database ".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The user asked for it.
    Asked,
    /// Only some of its tables are written.
    Tables,
    /// The file cannot be replaced.
    Obstacle(Obstacle),
    /// The file can be replaced, but these processes would go on using the old one.
    Strangers {
        /// The names of these processes.
        who: String,
        /// Whether they belong to the application.
        of_the_application: bool,
    },
}

impl Why {
    /// The reason that can be known before any request waits. `unseen` gets the names of processes that could not be
    /// inspected.
    pub(crate) fn foreseen(
        choice: InPlace,
        obstacle: Option<Obstacle>,
        live: &Path,
        unseen: impl FnOnce(&[String]),
    ) -> Option<Self> {
        match (choice, obstacle) {
            (InPlace::Never, _) => None,
            (_, Some(obstacle)) => Some(Why::Obstacle(obstacle)),
            (_, None) => match staying_strangers(live) {
                strangers if !strangers.names.is_empty() => Some(Why::Strangers {
                    who: strangers.phrase(),
                    of_the_application: strangers.of_the_application,
                }),
                _ if choice == InPlace::Always => Some(Why::Asked),
                strangers => {
                    unseen(&strangers.unseen);
                    None
                }
            },
        }
    }

    /// What the user can do if writing takes too long.
    pub(super) fn way_out(&self) -> String {
        match self {
            Why::Tables => "push fewer tables or fewer changes at once".into(),
            _ => format!("{}: replacing the file takes no time", self.cure()),
        }
    }

    /// What the user can do so that the file can be replaced, which takes no time. The message that contains this
    /// has named the processes.
    pub(crate) fn cure(&self) -> String {
        match self {
            Why::Asked => "leave out --in-place=always".into(),
            Why::Tables => "leave out --only and --except".into(),
            Why::Obstacle(Obstacle::HardLinks(_)) => "remove the other names of the file".into(),
            Why::Obstacle(Obstacle::SingleFileMount) => "mount the folder instead of the file".into(),
            Why::Obstacle(Obstacle::NoProof) => "push on Linux".into(),
            Why::Obstacle(Obstacle::StickyFolder) => "remove the sticky bit of its folder".into(),
            Why::Obstacle(Obstacle::Ownership { .. }) => {
                "run the application as the file's owner or as a member of its group".into()
            }
            // Litestream's plugin for Puma stops Puma when Litestream ends.
            Why::Strangers { who, .. } if who.contains("litestream") => {
                "close it there (but not a Litestream that Puma started as its plugin: Puma would stop as well)"
                    .into()
            }
            Why::Strangers {
                of_the_application: false,
                ..
            } => "close it there".into(),
            Why::Strangers {
                of_the_application: true,
                ..
            } => {
                "DETACH or close it there (that process belongs to this application and has the database attached to another \
                 one, or opened it through a library that hotswap does not know)"
                    .into()
            }
        }
    }
}

/// The processes that are found twice. A member that is just ending has closed its fence, and must not count as a
/// stranger.
fn staying_strangers(live: &Path) -> Strangers {
    let mut strangers = Strangers::outside_the_fleet(live, Bound::Patient);
    if !strangers.names.is_empty() {
        std::thread::sleep(Duration::from_millis(30));
        let there = Strangers::outside_the_fleet(live, Bound::Patient);
        strangers.names.retain(|name| there.names.contains(name));
    }
    strangers
}

impl std::fmt::Display for Why {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Asked => out.write_str("keeps its file (--in-place=always)"),
            Why::Tables => out.write_str("keeps its other tables"),
            Why::Obstacle(obstacle) => obstacle.fmt(out),
            Why::Strangers { who, .. } => write!(out, "is open in {who}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_for_some_tables_does_not_offer_to_replace_the_file() {
        assert_eq!(
            Why::Tables.way_out(),
            "push fewer tables or fewer changes at once"
        );
        assert_eq!(
            Why::Asked.way_out(),
            "leave out --in-place=always: replacing the file takes no time"
        );
    }

    #[test]
    fn advice_to_close_litestream_mentions_puma() {
        let cure = |who: &str| {
            Why::Strangers {
                who: who.into(),
                of_the_application: false,
            }
            .cure()
        };
        assert_eq!(cure("process 7 (sqlite3 app.sqlite3)"), "close it there");
        assert!(cure("process 8 (litestream replicate)").contains("Puma would stop as well"));
    }
}
