//! A part of a whole, as people write it: "50%".

use std::fmt::{Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// From 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percent(f64);

impl Percent {
    /// The part of `all` that `some` is.
    pub fn of(some: u64, all: u64) -> Self {
        Self(some as f64 / all as f64 * 100.0)
    }
}

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_suffix('%').unwrap_or(text).parse::<f64>() {
            Ok(number) if (0.0..=100.0).contains(&number) => Ok(Self(number)),
            _ => Err("it must be a percentage from 0% to 100%"),
        }
    }
}

impl Display for Percent {
    fn fmt(&self, out: &mut Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}%", (self.0 * 10.0).round() / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_written_with_or_without_its_sign() {
        assert_eq!("50%".parse(), Ok(Percent(50.0)));
        assert_eq!("0.5".parse(), Ok(Percent(0.5)));
        for wrong in ["-1%", "101%", "half", "", "%", "NaN", "50 %"] {
            assert!(wrong.parse::<Percent>().is_err(), "{wrong}");
        }
        assert_eq!(Percent::of(1, 3).to_string(), "33.3%");
    }
}
