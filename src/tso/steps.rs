//! Which time the timestamps follow: the wall clock, unless it jumps.
//!
//! * It goes back: timestamps stand still until it has caught up.
//! * It jumps ahead by more than [`MOST_JUMP`] against the boot clock: it is not
//!   followed. Time goes on by the boot clock, and the wall clock counts again as
//!   soon as it is back within that distance.
//! * A term begins ahead of it, behind its predecessor's window: time goes on from
//!   there, a little slower than the clock, until that has caught up. It does not stand
//!   still, because others wait for it: Milvus flushes a segment once ticks are two
//!   seconds of it further, and would do so only when the clock has caught up.

use std::time::Duration;

use crate::clock::{BootInstant, UnixNanos};

/// How often timestamps follow the clock.
pub const EVERY: Duration = Duration::from_millis(50);

/// How far ahead of the boot clock the wall clock is believed while running.
pub const MOST_JUMP: Duration = Duration::from_secs(10);

/// Eighths of its speed at which time goes on from ahead of the clock: of 8 s a minute
/// later nothing is left.
const EIGHTHS: u32 = 7;

/// No further ahead of the clock than this does time go on: takeovers in quick
/// succession add up, and further ahead it stands still.
pub const MOST_AHEAD: Duration = Duration::from_secs(30);

/// What became of one look at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time that is believed. Never goes back.
    pub time: UnixNanos,
    /// What is worth a log line.
    pub note: Option<Note>,
}

/// A change of trust in the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It jumped ahead by this much and is no longer followed.
    Refused(Duration),
    /// It is followed again.
    Trusted,
}

/// The time of one term.
#[derive(Clone, Debug)]
pub struct Steps {
    /// The latest time that was believed, and when that was: from there it is later by
    /// the boot clock. Only ever moved ahead, so that a clock that was put back may
    /// return to where it would have been.
    base: UnixNanos,
    base_at: BootInstant,
    newest: UnixNanos,
    refusing: Option<Duration>,
    /// Where the term began, and when, until the clock is as far.
    ahead: Option<(UnixNanos, BootInstant)>,
}

impl Steps {
    /// It was `time` at `at`.
    pub fn from(time: UnixNanos, at: BootInstant) -> Self {
        Self { base: time, base_at: at, newest: time, refusing: None, ahead: None }
    }

    /// The term begins at `start`, which may be ahead of the clock.
    #[must_use]
    pub fn beginning_at(mut self, start: UnixNanos) -> Self {
        self.ahead = (start > self.newest).then_some((start, self.base_at));
        self
    }

    /// Looks at both clocks.
    pub fn advance(&mut self, wall: UnixNanos, boot: BootInstant) -> Step {
        let by_boot_clock = self.base + boot.since(self.base_at);
        let jump = wall.since(by_boot_clock);
        let (time, note) = if jump > MOST_JUMP {
            let note = self.refusing.is_none().then_some(Note::Refused(jump));
            self.refusing = Some(jump);
            (by_boot_clock, note)
        } else {
            let note = self.refusing.take().is_some().then_some(Note::Trusted);
            if wall > by_boot_clock {
                (self.base, self.base_at) = (wall, boot);
            }
            (wall, note)
        };
        self.newest = self.newest.max(time).max(self.gone_on(time, boot));
        Step { time: self.newest, note }
    }

    /// Where time is that went on from where the term began.
    fn gone_on(&mut self, clock: UnixNanos, boot: BootInstant) -> UnixNanos {
        let Some((start, at)) = self.ahead else { return clock };
        let time = start + boot.since(at) / 8 * EIGHTHS;
        if time <= clock {
            self.ahead = None;
        }
        time.min(clock + MOST_AHEAD)
    }

    /// By how much the wall clock was ahead at the last look, if it is not followed.
    pub fn refused_lead(&self) -> Option<Duration> {
        self.refusing
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wall(millis: u64) -> UnixNanos {
        UnixNanos((1_800_000_000_000 + millis) * 1_000_000)
    }

    fn boot(millis: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_millis(millis))
    }

    fn steps() -> Steps {
        Steps::from(wall(0), boot(0))
    }

    #[test]
    fn the_wall_clock_is_followed_also_through_small_corrections() {
        let mut steps = steps();
        for (wall_ms, boot_ms) in [(50, 50), (9_000, 100), (9_050, 150), (19_000, 200)] {
            assert_eq!(steps.advance(wall(wall_ms), boot(boot_ms)), Step { time: wall(wall_ms), note: None });
        }
    }

    #[test]
    fn time_stands_still_while_the_clock_is_behind() {
        let mut steps = steps();
        steps.advance(wall(60_000 / 10), boot(6_000));
        assert_eq!(steps.advance(wall(0), boot(6_050)).time, wall(6_000));
        assert_eq!(steps.advance(wall(5_999), boot(12_000)).time, wall(6_000));
        assert_eq!(steps.advance(wall(6_100), boot(12_100)).time, wall(6_100));
    }

    #[test]
    fn a_term_that_begins_ahead_of_the_clock_goes_on_slower_until_that_has_caught_up() {
        let mut steps = steps().beginning_at(wall(8_000));
        for (passed, time) in [(0, 8_000), (800, 8_700), (32_000, 36_000), (64_000, 64_000), (64_800, 64_800)]
        {
            assert_eq!(steps.advance(wall(passed), boot(passed)), Step { time: wall(time), note: None });
        }
        assert_eq!(steps.ahead, None);
    }

    #[test]
    fn a_term_that_begins_far_ahead_of_the_clock_stands_still_there() {
        let mut steps = steps().beginning_at(wall(50_000));
        assert!(steps.advance(wall(19_000), boot(19_000)).time < wall(50_000));
        assert_eq!(steps.advance(wall(21_000), boot(21_000)).time, wall(51_000));
        assert_eq!(steps.advance(wall(240_000), boot(240_000)).time, wall(260_000));
        assert_eq!(steps.advance(wall(400_000), boot(400_000)).time, wall(400_000));
    }

    #[test]
    fn a_jump_is_not_followed_and_said_once() {
        let mut steps = steps();
        let year = 365 * 24 * 3_600_000;
        let first = steps.advance(wall(year + 50), boot(50));
        assert_eq!(first, Step { time: wall(50), note: Some(Note::Refused(Duration::from_millis(year))) });
        assert_eq!(steps.advance(wall(year + 100), boot(100)), Step { time: wall(100), note: None });
        assert_eq!(steps.refused_lead(), Some(Duration::from_millis(year)));
        assert_eq!(steps.advance(wall(150), boot(150)), Step { time: wall(150), note: Some(Note::Trusted) });
        assert_eq!(steps.refused_lead(), None);
    }

    #[test]
    fn a_clock_that_was_wrongly_put_back_may_return() {
        let mut steps = steps();
        let hour = 3_600_000;
        assert_eq!(steps.advance(wall(hour), boot(hour)).time, wall(hour));
        assert_eq!(steps.advance(wall(0), boot(hour + 50)).time, wall(hour));
        assert_eq!(steps.advance(wall(2 * hour), boot(2 * hour)), Step { time: wall(2 * hour), note: None });
    }

    #[test]
    fn a_resumed_machine_follows_because_the_boot_clock_counted_the_sleep() {
        let mut steps = steps();
        let night = 8 * 3_600_000;
        assert_eq!(steps.advance(wall(night), boot(night)), Step { time: wall(night), note: None });
    }

    proptest! {
        #[test]
        fn time_never_goes_back_and_never_leaps(
            looks in proptest::collection::vec((0u64..200, -100_000i64..100_000), 1..80),
        ) {
            let mut steps = steps();
            let (mut boot_ms, mut newest) = (0, wall(0));
            for (passed, offset) in looks {
                boot_ms += passed;
                let seen = wall(0).0.saturating_add_signed((boot_ms as i64 + offset) * 1_000_000);
                let step = steps.advance(UnixNanos(seen), boot(boot_ms));
                prop_assert!(step.time >= newest);
                prop_assert!(step.time.since(newest) <= MOST_JUMP + Duration::from_millis(boot_ms));
                newest = step.time;
            }
        }
    }
}
