//! Unpredictable numbers, for names and tokens.

use std::io;

use crate::error::{Context, Result};

/// Sixty-four random bits from the system.
pub fn number() -> Result<u64> {
    getrandom::u64()
        .map_err(io::Error::from)
        .context("the system has no random numbers")
}
