//! Ids: numbers in the format of timestamps that follow no clock, only what was given out.
//!
//! Their window is extended by consumption. So the stored end lies behind every
//! id that was ever given out, whatever the wall clock does between two terms.

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
        window::Span,
    },
};

/// How far one put brings the end behind the newest id: 3 s as in Milvus, 786 million ids.
pub const AHEAD: Duration = Duration::from_secs(3);

/// With less than this left the window is extended.
const LOW: u64 = AHEAD.as_millis() as u64 / 2 * PER_MILLI;

/// How long a call waits for the window to be extended.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Why there are no ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIds {
    /// Nothing was asked for.
    #[error("tso count should be positive")]
    CountZero,
    /// The window could not be extended in time. May be repeated.
    #[error("can not get timestamp")]
    UsedUp,
}

/// The ids of one term.
#[derive(Debug)]
pub struct Ids {
    counter: Counter,
    /// The largest batch that was asked for in vain since the last extension.
    missed: AtomicU64,
    low: Notify,
}

impl Ids {
    /// Gives out from `span`, whose end is in etcd.
    pub fn new(span: &Span) -> Self {
        Self { counter: Counter::new(span.start, span.end), missed: AtomicU64::new(0), low: Notify::new() }
    }

    /// Takes `count` successive ids and returns the first, waiting up to [`PATIENCE`]
    /// for the window to be extended.
    ///
    /// # Errors
    /// [`NoIds`]; none was taken.
    pub async fn alloc(&self, count: u32) -> Result<i64, NoIds> {
        if count == 0 {
            return Err(NoIds::CountZero);
        }
        let count = u64::from(count);
        let taken = match self.counter.take(count) {
            Ok(first) => Ok(first),
            Err(UsedUp) => {
                self.missed.fetch_max(count, Ordering::AcqRel);
                self.low.notify_one();
                self.counter.take_within(count, PATIENCE).await
            }
        };
        if self.counter.left() < LOW {
            self.low.notify_one();
        }
        // The largest end that can be stored is below 2^63 in this format.
        taken.ok().and_then(|first| i64::try_from(first).ok()).ok_or(NoIds::UsedUp)
    }
}

impl Reserve for Ids {
    fn counter(&self) -> &Counter {
        &self.counter
    }

    fn wanted_end(&self, _stored: UnixNanos) -> Option<UnixNanos> {
        let (left, missed) = (self.counter.left(), self.missed.load(Ordering::Acquire));
        if left >= missed {
            // Whoever missed it finds it now. A larger wish that came meanwhile stays.
            _ = self.missed.compare_exchange(missed, 0, Ordering::AcqRel, Ordering::Acquire);
        }
        let newest = Timestamp(self.counter.last().saturating_add(missed)).physical();
        // The millisecond in which a window ends belongs to nobody: one more.
        (left < LOW.max(missed)).then(|| newest + AHEAD + Duration::from_millis(1))
    }

    fn time(&self) -> UnixNanos {
        Timestamp(self.counter.last()).physical()
    }

    fn low(&self) -> &Notify {
        &self.low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixNanos = UnixNanos(1_800_000_000_000_000_000);

    fn ids() -> Ids {
        Ids::new(&Span { start: NOW, end: NOW + AHEAD, clock: NOW, refused_lead: None })
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_a_range_that_starts_where_milvus_would() {
        let ids = ids();
        let first = ids.alloc(200_000).await.expect("a block");
        assert_eq!(first, (1_800_000_000_000i64 << 18) + 1);
        assert_eq!(ids.alloc(1).await, Ok(first + 200_000));
        assert_eq!(ids.alloc(0).await, Err(NoIds::CountZero));
    }

    #[tokio::test(start_paused = true)]
    async fn the_window_is_extended_when_half_of_it_is_gone() {
        let ids = ids();
        let end = NOW + AHEAD;
        assert_eq!(ids.wanted_end(end), None);
        for _ in 0..1_960 {
            ids.alloc(200_000).await.expect("a block");
        }
        assert_eq!(ids.wanted_end(end), None);
        for _ in 0..10 {
            ids.alloc(200_000).await.expect("a block");
        }
        ids.low().notified().await;
        let extended = ids.wanted_end(end).expect("more than half is gone");
        assert!(extended > end);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_larger_than_the_window_makes_the_window_larger() {
        let ids = ids();
        let extend = async {
            ids.low().notified().await;
            let end = ids.wanted_end(NOW + AHEAD).expect("too small");
            ids.counter().raise(end);
        };
        let (taken, ()) = tokio::join!(ids.alloc(u32::MAX), extend);
        assert!(taken.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_extension_they_end_before_the_stored_one() {
        let ids = ids();
        let mut last = 0;
        while let Ok(first) = ids.alloc(200_000).await {
            last = first + 199_999;
        }
        assert!(last >> 18 < i64::try_from((NOW + AHEAD).millis()).expect("fits"));
    }
}
