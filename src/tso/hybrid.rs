//! The format of timestamps and ids: 46 bits of milliseconds since 1970, 18 bits of counter.

use std::fmt;

use crate::clock::UnixNanos;

/// How many bits count within a millisecond.
pub const LOGICAL_BITS: u32 = 18;

/// How many values a millisecond has.
pub const PER_MILLI: u64 = 1 << LOGICAL_BITS;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// A hybrid timestamp as all of Milvus compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The first value of that millisecond.
    pub const fn at_milli(millis: u64) -> Self {
        Self(millis << LOGICAL_BITS)
    }

    /// Milliseconds since 1970.
    pub const fn physical_millis(self) -> u64 {
        self.0 >> LOGICAL_BITS
    }

    /// The counter within the millisecond.
    pub const fn logical(self) -> u64 {
        self.0 & (PER_MILLI - 1)
    }

    /// The beginning of its millisecond.
    pub const fn physical(self) -> UnixNanos {
        UnixNanos(self.physical_millis().saturating_mul(NANOS_PER_MILLI))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The first value that may *not* be given out when a window ends at `end`.
///
/// The millisecond in which the window ends belongs to nobody: a successor starts
/// a full one behind it.
pub const fn first_beyond(end: UnixNanos) -> u64 {
    Timestamp::at_milli(end.millis()).0
}

/// The value after which one begins to give out at `start`: the first one has counter 1, as in Milvus.
pub const fn last_before(start: UnixNanos) -> u64 {
    Timestamp::at_milli(start.millis()).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back() {
        let ts = Timestamp((1_700_000_000_123 << 18) | 77);
        assert_eq!(ts.physical_millis(), 1_700_000_000_123);
        assert_eq!(ts.logical(), 77);
        assert_eq!(ts.physical(), UnixNanos(1_700_000_000_123_000_000));
    }

    #[test]
    fn the_largest_window_fits_a_signed_number() {
        assert!(i64::try_from(first_beyond(UnixNanos(u64::MAX))).is_ok());
    }
}
