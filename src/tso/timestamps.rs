//! Timestamps: the counter that follows the clock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    clock::UnixNanos,
    tso::{
        counter::{Counter, UsedUp},
        hybrid::{PER_MILLI, Timestamp},
        keeper::Reserve,
        window::{Ahead, Span},
    },
};

/// As long as Milvus itself tries: ten times 50 ms.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Why there is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTimestamp {
    /// Nothing was asked for.
    #[error("tso count should be positive")]
    CountZero,
    /// A batch has to fit into one millisecond's counter; repeating won't help.
    #[error("can not get timestamp")]
    TooMany,
    /// The window could not be extended in time. May be repeated.
    #[error("can not get timestamp")]
    UsedUp,
}

/// The timestamps of one term.
#[derive(Debug)]
pub struct Timestamps {
    counter: Counter,
    ahead: Ahead,
    /// The time of the newest step, in unix nanoseconds.
    time: AtomicU64,
    low: Notify,
}

impl Timestamps {
    /// Gives out from `span`, whose end is in etcd.
    pub fn new(span: &Span, ahead: Ahead) -> Self {
        Self {
            counter: Counter::new(span.start, span.end),
            ahead,
            time: AtomicU64::new(span.clock.0),
            low: Notify::new(),
        }
    }

    fn checked(count: u32) -> Result<u64, NoTimestamp> {
        match u64::from(count) {
            0 => Err(NoTimestamp::CountZero),
            count if count >= PER_MILLI => Err(NoTimestamp::TooMany),
            count => Ok(count),
        }
    }

    /// Takes `count` successive timestamps and returns the first.
    ///
    /// # Errors
    /// [`NoTimestamp`]; none was taken.
    pub fn alloc(&self, count: u32) -> Result<Timestamp, NoTimestamp> {
        let count = Self::checked(count)?;
        self.counter.take(count).map(Timestamp).map_err(|UsedUp| {
            self.low.notify_one();
            NoTimestamp::UsedUp
        })
    }

    /// As [`alloc`](Self::alloc), but waits up to [`PATIENCE`] for the window to be extended.
    ///
    /// # Errors
    /// [`NoTimestamp`]; none was taken.
    pub async fn alloc_patiently(&self, count: u32) -> Result<Timestamp, NoTimestamp> {
        match self.alloc(count) {
            Err(NoTimestamp::UsedUp) => self
                .counter
                .take_within(u64::from(count), PATIENCE)
                .await
                .map(Timestamp)
                .map_err(|UsedUp| NoTimestamp::UsedUp),
            taken => taken,
        }
    }

    /// It is `time`: later timestamps are not before it. Wakes the keeper if the window
    /// comes too near.
    pub fn step_to(&self, time: UnixNanos) {
        self.counter.skip_to(time);
        self.time.fetch_max(time.0, Ordering::AcqRel);
        if self.wanted_end(self.counter.end()).is_some() {
            self.low.notify_one();
        }
    }

    /// The newest timestamp that was given out or skipped.
    pub fn newest(&self) -> Timestamp {
        Timestamp(self.counter.last())
    }
}

impl Reserve for Timestamps {
    fn counter(&self) -> &Counter {
        &self.counter
    }

    fn wanted_end(&self, stored: UnixNanos) -> Option<UnixNanos> {
        self.ahead.extend(stored, self.time())
    }

    fn time(&self) -> UnixNanos {
        UnixNanos(self.time.load(Ordering::Acquire)).max(self.newest().physical())
    }

    fn low(&self) -> &Notify {
        &self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

    fn timestamps() -> Timestamps {
        let ahead = Ahead::for_lease(Duration::from_secs(5));
        let span = Span { start: NOW, end: NOW + ahead.most(), clock: NOW, refused_lead: None };
        Timestamps::new(&span, ahead)
    }

    #[test]
    fn a_batch_is_a_range_behind_all_earlier_ones() {
        let timestamps = timestamps();
        let first = timestamps.alloc(10).expect("ten");
        assert_eq!((first.physical(), first.logical()), (NOW, 1));
        assert_eq!(timestamps.alloc(1), Ok(Timestamp(first.0 + 10)));
    }

    #[test]
    fn the_first_value_after_a_step_has_counter_one() {
        let timestamps = timestamps();
        timestamps.alloc(100).expect("a hundred");
        timestamps.step_to(NOW + Duration::from_millis(50));
        let next = timestamps.alloc(1).expect("one");
        assert_eq!((next.physical(), next.logical()), (NOW + Duration::from_millis(50), 1));
    }

    #[test]
    fn counts_are_checked_as_milvus_does() {
        let timestamps = timestamps();
        assert_eq!(timestamps.alloc(0), Err(NoTimestamp::CountZero));
        assert_eq!(timestamps.alloc(1 << 18), Err(NoTimestamp::TooMany));
        assert_eq!(timestamps.alloc(u32::MAX), Err(NoTimestamp::TooMany));
        assert!(timestamps.alloc((1 << 18) - 1).is_ok());
        assert_eq!(NoTimestamp::CountZero.to_string(), "tso count should be positive");
        assert_eq!(NoTimestamp::TooMany.to_string(), "can not get timestamp");
    }

    #[test]
    fn without_etcd_they_last_as_long_as_the_window_is_ahead() {
        let timestamps = timestamps();
        let least = Ahead::for_lease(Duration::from_secs(5)).least();
        for tick in 0..least.as_millis() / 50 {
            timestamps.step_to(NOW + Duration::from_millis(50) * u32::try_from(tick).expect("small"));
            timestamps.alloc(1_000).expect("the window is not over");
        }
    }

    #[test]
    fn the_window_is_extended_from_what_was_given_out_if_that_is_ahead_of_the_clock() {
        let timestamps = timestamps();
        let end = NOW + Duration::from_secs(9);
        assert_eq!(timestamps.wanted_end(end), None);
        for _ in 0..4_000 {
            timestamps.alloc((1 << 18) - 1).expect("four seconds of values");
        }
        let wanted = timestamps.wanted_end(end).expect("five seconds are left");
        assert!(wanted >= NOW + Duration::from_millis(3_999) + Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_nothing_wakes_the_keeper_and_waits() {
        let timestamps = timestamps();
        while timestamps.alloc((1 << 18) - 1).is_ok() {}
        timestamps.low().notified().await;
        let extend = async {
            timestamps.low().notified().await;
            timestamps.counter().raise(timestamps.wanted_end(NOW).expect("used up"));
        };
        let (taken, ()) = tokio::join!(timestamps.alloc_patiently(100_000), extend);
        assert!(taken.is_ok());
    }
}
