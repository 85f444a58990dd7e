//! Exit status 6: the live database has been written since the content that `--if-match` names. Nothing changed.

use crate::content_id::ContentId;

/// What is not as the user expects.
#[derive(Debug, thiserror::Error)]
pub enum Changed {
    /// The live database has other content.
    #[error(
        "{database} has been written since then: its identity is {now} now, and --if-match names {expected}{moved}. Nothing was \
         swapped. Pull it again and repeat your change, or push without --if-match to lose what was written"
    )]
    Written {
        database: String,
        expected: ContentId,
        now: ContentId,
        /// "; rows: users 10 → 12", or empty.
        moved: String,
    },
    /// There is no live database.
    #[error("{database} does not exist, and --if-match names its content. Nothing was swapped. Push without --if-match to create it")]
    Absent { database: String },
    /// The content was the expected one each time, but writes kept coming between the comparison and the swap.
    #[error(
        "{database} was written again and again while hotswap compared it with --if-match. Nothing was swapped. Try again when the \
         application writes less"
    )]
    AgainAndAgain { database: String },
}
