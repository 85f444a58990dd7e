//! Exit status 6: the live database has been written since the content that `--if-match` names. Nothing changed.

use crate::content_id::ContentId;

/// What is not as the user expects.
#[derive(Debug, thiserror::Error)]
pub enum Changed {
    /// The live database has other content.
    #[error(
        "{database} no longer has the content that --if-match names: its identity is now {now}, not {expected}{rows}. Nothing \
         was swapped. Pull it again and repeat your change, or push without --if-match to discard what was written since"
    )]
    Written {
        database: String,
        expected: ContentId,
        now: ContentId,
        /// "; rows: products 10 → 12", or nothing if the rows of then or of now are not known.
        rows: String,
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
