//! Durations as the original writes them.

use std::{fmt, time::Duration};

/// `0s`, `1.5µs`, `10.25ms`, `2s`, `1m0.5s`, `27h46m40s`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GoDuration(
    /// How long.
    pub Duration,
);

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(duration) = *self;
        if duration.is_zero() {
            return f.write_str("0s");
        }
        if duration < Duration::from_secs(60) {
            // Up to here both languages write the same.
            return fmt::Debug::fmt(&duration, f);
        }
        let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        write!(f, "{minutes}m{seconds}")?;
        if nanos > 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        f.write_str("s")
    }
}

impl fmt::Debug for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        for (nanos, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (10_250_000, "10.25ms"),
            (999_999_999, "999.999999ms"),
            (2_000_000_000, "2s"),
            (59_900_000_000, "59.9s"),
            (60_000_000_000, "1m0s"),
            (60_500_000_000, "1m0.5s"),
            (3_600_000_000_001, "1h0m0.000000001s"),
            (100_000_000_000_000, "27h46m40s"),
        ] {
            assert_eq!(GoDuration(Duration::from_nanos(nanos)).to_string(), expected);
        }
    }
}
