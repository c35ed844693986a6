//! Numbers given out in batches, without a lock, up to a limit.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    clock::UnixNanos,
    tso::hybrid::{self, Timestamp},
};

/// The window does not hold as many values; it is being extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window is used up")]
pub struct UsedUp;

/// What has been given out, and up to where that is allowed.
///
/// Both numbers only rise. The limit is raised after etcd has acknowledged the
/// window that it stands for.
#[derive(Debug)]
pub struct Counter {
    last: AtomicU64,
    limit: AtomicU64,
    raised: Notify,
}

impl Counter {
    /// Gives out from `start` up to `end`, which is in etcd.
    pub fn new(start: UnixNanos, end: UnixNanos) -> Self {
        Self {
            last: AtomicU64::new(hybrid::last_before(start)),
            limit: AtomicU64::new(hybrid::first_beyond(end)),
            raised: Notify::new(),
        }
    }

    /// Takes `count` successive values and returns the first.
    ///
    /// # Errors
    /// [`UsedUp`]: none was taken.
    pub fn take(&self, count: u64) -> Result<u64, UsedUp> {
        let limit = self.limit.load(Ordering::Acquire);
        let next = |last: u64| last.checked_add(count).filter(|&new| new < limit);
        match self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(before) => Ok(before + 1),
            Err(_) => Err(UsedUp),
        }
    }

    /// As [`take`](Self::take), but waits up to `within` for the window to be extended.
    ///
    /// # Errors
    /// [`UsedUp`]: none was taken.
    pub async fn take_within(&self, count: u64, within: Duration) -> Result<u64, UsedUp> {
        let wait = async {
            loop {
                let raised = self.raised.notified();
                tokio::pin!(raised);
                raised.as_mut().enable();
                if let Ok(first) = self.take(count) {
                    return first;
                }
                raised.await;
            }
        };
        tokio::time::timeout(within, wait).await.map_err(|_| UsedUp)
    }

    /// Gives out nothing up to and including the first value of `time` any more, as
    /// far as the window allows.
    pub fn skip_to(&self, time: UnixNanos) {
        let most = self.limit.load(Ordering::Acquire).saturating_sub(hybrid::PER_MILLI);
        self.last.fetch_max(hybrid::last_before(time).min(most), Ordering::AcqRel);
    }

    /// Gives out nothing up to and including the first value of `time` any more, and
    /// nothing at all until the window reaches beyond it.
    pub fn skip_beyond(&self, time: UnixNanos) {
        self.last.fetch_max(hybrid::last_before(time), Ordering::AcqRel);
    }

    /// A window that ends at `end` is in etcd.
    pub fn raise(&self, end: UnixNanos) {
        self.limit.fetch_max(hybrid::first_beyond(end), Ordering::AcqRel);
        self.raised.notify_waiters();
    }

    /// The newest value that was given out or skipped.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// The end of the window, rounded down to the millisecond.
    pub fn end(&self) -> UnixNanos {
        Timestamp(self.limit.load(Ordering::Acquire)).physical()
    }

    /// How many values the window still holds.
    pub fn left(&self) -> u64 {
        let limit = self.limit.load(Ordering::Acquire);
        limit.saturating_sub(1).saturating_sub(self.last())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicBool, AtomicU64},
        },
        thread,
    };

    use proptest::prelude::*;

    use super::*;

    fn millis(ms: u64) -> UnixNanos {
        UnixNanos(ms * 1_000_000)
    }

    #[test]
    fn the_first_value_has_counter_one() {
        let counter = Counter::new(millis(1_000), millis(1_010));
        assert_eq!(counter.take(3), Ok((1_000 << 18) + 1));
        assert_eq!(counter.take(1), Ok((1_000 << 18) + 4));
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds_but_not_beyond_the_window() {
        let counter = Counter::new(millis(1_000), millis(1_003));
        assert_eq!(counter.left(), 3 * hybrid::PER_MILLI - 1);
        for _ in 0..2 {
            counter.take(hybrid::PER_MILLI).expect("inside the window");
        }
        assert_eq!(counter.take(hybrid::PER_MILLI), Err(UsedUp));
        counter.take(hybrid::PER_MILLI - 1).expect("all but the end's own millisecond");
        assert_eq!(counter.take(1), Err(UsedUp));
        counter.raise(millis(1_004));
        assert_eq!(counter.take(1), Ok(1_003 << 18));
    }

    #[test]
    fn a_limit_is_never_lowered() {
        let counter = Counter::new(millis(1_000), millis(1_010));
        counter.raise(millis(1_001));
        counter.skip_to(millis(1_005));
        assert_eq!(counter.take(1), Ok((1_005 << 18) + 1));
    }

    #[test]
    fn a_step_stays_inside_the_window_and_leaves_something_to_give() {
        let counter = Counter::new(millis(1_000), millis(1_010));
        counter.skip_to(millis(5_000));
        assert_eq!(counter.take(1), Ok((1_009 << 18) + 1));
    }

    #[test]
    fn what_must_be_left_out_blocks_until_the_window_is_beyond_it() {
        let counter = Counter::new(millis(1_000), millis(1_010));
        counter.skip_beyond(millis(1_020));
        assert_eq!(counter.take(1), Err(UsedUp));
        counter.raise(millis(1_030));
        assert_eq!(counter.take(1), Ok((1_020 << 18) + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_its_values_when_the_window_is_extended() {
        let counter = Arc::new(Counter::new(millis(1_000), millis(1_001)));
        counter.take(hybrid::PER_MILLI - 1).expect("the whole window");
        let waiting = {
            let counter = counter.clone();
            async move { counter.take_within(2, Duration::from_secs(1)).await }
        };
        let raising = async {
            tokio::task::yield_now().await;
            counter.raise(millis(1_002));
        };
        let (taken, ()) = tokio::join!(waiting, raising);
        assert_eq!(taken, Ok(1_001 << 18));
        assert_eq!(counter.take_within(u64::from(u32::MAX), Duration::from_secs(1)).await, Err(UsedUp));
    }

    /// Four threads take batches while a fifth raises the limit and a sixth steps the time.
    #[test]
    fn values_are_unique_and_rise_for_everyone() {
        let counter = Arc::new(Counter::new(millis(1_000), millis(1_001)));
        let newest_answered = Arc::new(AtomicU64::new(0));
        let done = Arc::new(AtomicBool::new(false));
        let mut taken = Vec::new();
        thread::scope(|scope| {
            let takers: Vec<_> = (1..=4u64)
                .map(|taker| {
                    let (counter, newest) = (counter.clone(), newest_answered.clone());
                    scope.spawn(move || {
                        let mut mine = Vec::new();
                        while mine.len() < 20_000 {
                            let before = newest.load(Ordering::SeqCst);
                            let count = taker * (mine.len() as u64 % 7 + 1);
                            if let Ok(first) = counter.take(count) {
                                assert!(first > before, "an answer was out before this call began");
                                newest.fetch_max(first + count - 1, Ordering::SeqCst);
                                mine.push((first, count));
                            } else {
                                thread::yield_now();
                            }
                        }
                        mine
                    })
                })
                .collect();
            let (mover, done_too) = (counter.clone(), done.clone());
            scope.spawn(move || {
                for ms in 1_001.. {
                    mover.raise(millis(ms));
                    mover.skip_to(millis(ms - 2));
                    if done_too.load(Ordering::SeqCst) {
                        break;
                    }
                    thread::yield_now();
                }
            });
            for taker in takers {
                taken.extend(taker.join().expect("no taker fails"));
            }
            done.store(true, Ordering::SeqCst);
        });
        taken.sort_unstable();
        for pair in taken.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?} overlap");
        }
    }

    #[derive(Clone, Debug)]
    enum Deed {
        Take(u64),
        Raise(u64),
        SkipTo(u64),
        SkipBeyond(u64),
    }

    fn deeds() -> impl Strategy<Value = Vec<Deed>> {
        let deed = prop_oneof![
            (1u64..400_000).prop_map(Deed::Take),
            (900u64..1_200).prop_map(Deed::Raise),
            (900u64..1_200).prop_map(Deed::SkipTo),
            (900u64..1_200).prop_map(Deed::SkipBeyond),
        ];
        proptest::collection::vec(deed, 1..60)
    }

    proptest! {
        #[test]
        fn whatever_happens_values_rise_and_stay_below_the_durable_end(deeds in deeds()) {
            let counter = Counter::new(millis(1_000), millis(1_002));
            let (mut durable, mut last) = (1_002u64, 1_000u64 << 18);
            for deed in deeds {
                match deed {
                    Deed::Take(count) => if let Ok(first) = counter.take(count) {
                        prop_assert!(first > last);
                        last = first + count - 1;
                        prop_assert!(last >> 18 < durable);
                    },
                    Deed::Raise(ms) => {
                        durable = durable.max(ms);
                        counter.raise(millis(ms));
                    }
                    Deed::SkipTo(ms) => counter.skip_to(millis(ms)),
                    Deed::SkipBeyond(ms) => counter.skip_beyond(millis(ms)),
                }
            }
        }
    }
}
