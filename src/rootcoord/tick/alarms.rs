//! When trouble with ticks is worth a line in the log.

use std::time::Duration;

use crate::clock::BootInstant;

/// The same trouble is told of at most this often.
const EVERY: Duration = Duration::from_secs(2);

/// So long without any tick is worth a line of its own.
pub(super) const LONG: Duration = Duration::from_secs(120);

/// A line that is not said too often.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seldom(Option<BootInstant>);

impl Seldom {
    /// Whether it may be said; then it was.
    pub(super) fn may_say(&mut self, now: BootInstant) -> bool {
        let may = self.0.is_none_or(|said| now.since(said) >= EVERY);
        if may {
            self.0 = Some(now);
        }
        may
    }
}

/// Notices that ticks have stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct LongSilence {
    /// When all was well, or it was last said that it isn't.
    since: BootInstant,
}

impl LongSilence {
    pub(super) fn from(now: BootInstant) -> Self {
        Self { since: now }
    }

    /// A tick got to its channel, or none is wanted anywhere.
    pub(super) fn is_well(&mut self, now: BootInstant) {
        self.since = now;
    }

    /// Whether it has lasted too long, once in each [`LONG`].
    pub(super) fn is_long(&mut self, now: BootInstant) -> bool {
        let long = now.since(self.since) >= LONG;
        if long {
            self.since = now;
        }
        long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(1_000 + seconds))
    }

    #[test]
    fn trouble_that_lasts_is_told_of_every_two_seconds() {
        let mut line = Seldom::default();
        let said: Vec<u64> = (0..7).filter(|&second| line.may_say(at(second))).collect();
        assert_eq!(said, [0, 2, 4, 6]);
    }

    #[test]
    fn silence_is_told_of_every_two_minutes() {
        let mut silence = LongSilence::from(at(0));
        silence.is_well(at(5));
        let said: Vec<u64> = (6..400).filter(|&second| silence.is_long(at(second))).collect();
        assert_eq!(said, [125, 245, 365]);
    }
}
