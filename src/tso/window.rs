//! The window: what `gid/timestamp` and `gid/idTimestamp` store, and how the next
//! one is planned. Eight bytes, big-endian: the unix nanoseconds of its end.
//!
//! Who becomes ACTIVE starts at the wall clock, or one millisecond behind the
//! stored end if that is later; a predecessor that hands over tells how much of its
//! window it has used. How far ahead the end is stored therefore is how
//! far ahead of the wall clock a successor may start: see [`Ahead::most`].

use std::time::Duration;

use crate::clock::UnixNanos;

/// The distance between a stored end and where its successor starts.
pub const GUARD: Duration = Duration::from_millis(1);

/// How far ahead of the stored end a wall clock is believed at a campaign.
pub const MOST_LEAD: Duration = Duration::from_secs(24 * 60 * 60);

/// A stored window that cannot be continued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// Not eight bytes.
    #[error("the window in {key} is not 8 bytes but {len}: {hex}")]
    Undecodable {
        /// Where it is stored.
        key: String,
        /// Its length.
        len: usize,
        /// Its first bytes.
        hex: String,
    },
    /// So far ahead that there is no room behind it.
    #[error("the window in {key} ends at {end}, behind which there is no time left")]
    NoRoom {
        /// Where it is stored.
        key: String,
        /// Its end.
        end: UnixNanos,
    },
}

/// The value to store for a window that ends at `end`.
pub fn encode(end: UnixNanos) -> Vec<u8> {
    end.0.to_be_bytes().to_vec()
}

/// The end that is stored in `key`.
///
/// # Errors
/// [`BadWindow::Undecodable`]. An empty value is one too: only a missing key
/// means that nothing was ever given out.
pub fn decode(key: &str, value: &[u8]) -> Result<UnixNanos, BadWindow> {
    match value.try_into() {
        Ok(bytes) => Ok(UnixNanos(u64::from_be_bytes(bytes))),
        Err(_) => Err(BadWindow::Undecodable {
            key: key.to_owned(),
            len: value.len(),
            hex: value.iter().take(16).map(|byte| format!("{byte:02x}")).collect(),
        }),
    }
}

/// What a candidate may give out if its campaign succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// From here.
    pub start: UnixNanos,
    /// Up to here; the value to store.
    pub end: UnixNanos,
    /// The time from which the term's clock runs on: the wall clock, unless it was not believed.
    pub clock: UnixNanos,
    /// By how much the wall clock is ahead of the stored end, if that was too much to believe.
    pub refused_lead: Option<Duration>,
}

/// Plans the window of the next term.
///
/// `most_lead`: a wall clock further ahead of the stored end than this is not
/// followed, so that one machine with a wrong clock doesn't take all its
/// successors along. `None` for ids: a real Milvus stores their end once per
/// activation, however many it gives out later, and only the wall clock stays
/// ahead of those.
///
/// `given_until`: the term that is replaced has ended, and gave out nothing of this time or
/// later. What is left of its window is then given out; what is stored never goes back.
///
/// # Errors
/// [`BadWindow::NoRoom`].
pub fn plan(
    key: &str,
    stored: Option<UnixNanos>,
    now: UnixNanos,
    ahead: Duration,
    most_lead: Option<Duration>,
    given_until: Option<UnixNanos>,
) -> Result<Span, BadWindow> {
    let behind_stored = stored.map_or(UnixNanos(0), |end| end + GUARD);
    let behind_given = given_until.map_or(behind_stored, |given| behind_stored.min(given + GUARD));
    let refused_lead = match (stored, most_lead) {
        (Some(end), Some(most)) if now.since(end) > most => Some(now.since(end)),
        _ => None,
    };
    let clock = if refused_lead.is_some() { behind_stored } else { now };
    let start = behind_given.max(clock);
    let end = (start + ahead).max(stored.unwrap_or_default());
    if end <= start || end.0 == u64::MAX {
        return Err(BadWindow::NoRoom { key: key.to_owned(), end: stored.unwrap_or(now) });
    }
    Ok(Span { start, end, clock, refused_lead })
}

/// How far ahead of the clock the end of the timestamp window is kept.
///
/// Whoever can't reach etcd may serve until its lease is over, so the window must
/// last longer than that at every moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ahead {
    keep: Duration,
}

impl Ahead {
    /// How much longer than the lease the window lasts at the least.
    pub const BEYOND_LEASE: Duration = Duration::from_secs(1);
    /// For the put that extends it, so that it never falls below the least while etcd is quick.
    pub const FOR_THE_PUT: Duration = Duration::from_millis(500);
    /// What one put adds: the time between two puts.
    pub const PER_PUT: Duration = Duration::from_millis(2500);

    /// For a lease of that time to live.
    pub fn for_lease(ttl: Duration) -> Self {
        Self { keep: ttl + Self::BEYOND_LEASE }
    }

    /// Never less than this lies ahead while etcd answers: the lease and a second.
    pub fn least(self) -> Duration {
        self.keep
    }

    /// Where each put brings it, and so the most by which a successor may start ahead
    /// of the wall clock: the lease and four seconds; 9 s at the default lease of 5 s.
    /// Takeovers in quick succession add up; see [`Steps`](crate::tso::steps::Steps) for
    /// how the clock catches up.
    pub fn most(self) -> Duration {
        self.keep + Self::FOR_THE_PUT + Self::PER_PUT
    }

    /// The end to store now, if the stored one comes too close to `clock`.
    pub fn extend(self, stored: UnixNanos, clock: UnixNanos) -> Option<UnixNanos> {
        (stored.since(clock) < self.keep + Self::FOR_THE_PUT).then(|| clock + self.most())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "by-dev/kv/gid/timestamp";
    const SECOND: u64 = 1_000_000_000;
    const NOW: UnixNanos = UnixNanos(1_800_000_000 * SECOND);
    const AHEAD: Duration = Duration::from_secs(9);

    fn stored(offset_millis: i64) -> Option<UnixNanos> {
        Some(UnixNanos(NOW.0.checked_add_signed(offset_millis * 1_000_000).expect("near now")))
    }

    #[track_caller]
    fn check(stored: Option<UnixNanos>, start: UnixNanos, refused: bool) {
        let span = plan(KEY, stored, NOW, AHEAD, Some(MOST_LEAD), None).expect("room");
        assert_eq!(span.start, start);
        assert_eq!(span.end, start + AHEAD);
        assert_eq!(span.refused_lead.is_some(), refused);
    }

    #[test]
    fn starts_at_the_later_of_wall_clock_and_stored_end() {
        check(None, NOW, false);
        check(stored(-5_000), NOW, false);
        check(stored(0), NOW + GUARD, false);
        check(stored(3_000), NOW + Duration::from_millis(3_001), false);
    }

    #[test]
    fn a_wall_clock_more_than_a_day_ahead_is_not_followed() {
        let day = 24 * 3_600_000;
        check(stored(-day), NOW, false);
        let old = stored(-day - 1).expect("stored");
        check(Some(old), old + GUARD, true);
    }

    #[test]
    fn who_was_told_what_was_given_out_goes_on_from_there_and_stores_no_earlier_end() {
        let (stored, second) = (stored(9_000), Duration::from_secs(1));
        let told = |given, ahead| plan(KEY, stored, NOW, ahead, Some(MOST_LEAD), Some(given)).expect("room");
        let ahead_of_the_clock = told(NOW + second, AHEAD);
        assert_eq!(ahead_of_the_clock.start, NOW + second + GUARD);
        assert_eq!(ahead_of_the_clock.end, NOW + second + GUARD + AHEAD);
        let behind_it = told(NOW, second);
        assert_eq!((behind_it.start, Some(behind_it.end)), (NOW + GUARD, stored));
        let beyond_the_window = told(NOW + 20 * second, AHEAD);
        assert_eq!(Some(beyond_the_window.start), stored.map(|end| end + GUARD), "which can't be");
    }

    #[test]
    fn ids_follow_any_wall_clock() {
        let old = stored(-400 * 24 * 3_600_000);
        let span = plan(KEY, old, NOW, AHEAD, None, None).expect("room");
        assert_eq!((span.start, span.refused_lead), (NOW, None));
    }

    #[test]
    fn an_end_without_room_behind_it_is_an_error() {
        for end in [u64::MAX, u64::MAX - 1, u64::MAX - SECOND] {
            let error = plan(KEY, Some(UnixNanos(end)), NOW, AHEAD, None, None).expect_err("no room");
            assert_eq!(error, BadWindow::NoRoom { key: KEY.to_owned(), end: UnixNanos(end) });
        }
    }

    #[test]
    fn the_stored_form_is_that_of_milvus() {
        let end = UnixNanos(0x18e9_eb63_d970_a2ed);
        assert_eq!(encode(end), [0x18, 0xe9, 0xeb, 0x63, 0xd9, 0x70, 0xa2, 0xed]);
        assert_eq!(decode(KEY, &encode(end)), Ok(end));
    }

    #[test]
    fn anything_but_eight_bytes_is_named_with_its_key() {
        for value in [&b""[..], b"1234567", b"123456789", b"garbage and more garbage"] {
            let error = decode(KEY, value).expect_err("not eight bytes").to_string();
            assert!(error.contains(KEY), "{error}");
        }
    }

    #[test]
    fn a_put_comes_every_two_and_a_half_seconds_and_the_least_always_lies_ahead() {
        let ahead = Ahead::for_lease(Duration::from_secs(5));
        assert_eq!((ahead.least(), ahead.most()), (Duration::from_secs(6), Duration::from_secs(9)));
        let (mut end, mut puts) = (NOW + ahead.most(), 0);
        for tick in 0..1_200 {
            let clock = NOW + Duration::from_millis(50) * tick;
            if let Some(extended) = ahead.extend(end, clock) {
                (end, puts) = (extended, puts + 1);
            }
            assert!(end.since(clock) >= ahead.least());
        }
        assert!((22..=24).contains(&puts), "{puts} puts a minute");
    }

    proptest! {
        #[test]
        fn a_successor_starts_behind_everything_that_was_given_out(
            stored in proptest::option::of(0..=2 * NOW.0),
            now in 0..=2 * NOW.0,
            ahead_millis in 1u64..100_000,
            lead in proptest::bool::ANY,
        ) {
            let most_lead = lead.then_some(MOST_LEAD);
            let ahead = Duration::from_millis(ahead_millis);
            let span = plan(KEY, stored.map(UnixNanos), UnixNanos(now), ahead, most_lead, None).expect("room");
            prop_assert!(span.end > span.start);
            if let Some(stored) = stored {
                let last_of_predecessor = super::super::hybrid::first_beyond(UnixNanos(stored)) - 1;
                prop_assert!(super::super::hybrid::last_before(span.start) > last_of_predecessor);
            }
        }
    }
}
