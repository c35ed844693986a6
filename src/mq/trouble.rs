//! What is wrong with a queue: told at a bearable rate, and kept as the reason why messages
//! do not arrive.
//!
//! While a broker is away its client says so at every attempt to connect. The same kind of
//! trouble gets a line at once, and then one in [`EVERY`] that says how many were left out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::clock::{BootInstant, Clock};

/// The same kind of trouble is told of at most this often.
const EVERY: Duration = Duration::from_secs(30);

/// For so long after it, trouble with a connection explains why a message was not sent.
const EXPLAINS: Duration = Duration::from_secs(60);

/// More kinds of trouble than there are in a client.
const MAX_KINDS: usize = 256;

/// The trouble of one client.
#[derive(Debug)]
pub(super) struct Trouble {
    clock: Arc<dyn Clock>,
    lines: Mutex<Lines>,
    last: Mutex<Option<(BootInstant, String)>>,
}

impl Trouble {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, lines: Mutex::default(), last: Mutex::default() }
    }

    /// What was heard last, if that is not long ago.
    pub(super) fn last(&self) -> Option<String> {
        let now = self.clock.boot();
        let last = self.last.lock();
        last.as_ref().filter(|(at, _)| now.since(*at) < EXPLAINS).map(|(_, words)| words.clone())
    }

    /// From now on, this explains why messages do not arrive.
    pub(super) fn explains(&self, words: &str) {
        *self.last.lock() = Some((self.clock.boot(), words.to_owned()));
    }

    /// A message has arrived: what was wrong is not any more.
    pub(super) fn is_over(&self) {
        *self.last.lock() = None;
    }

    /// How many like it were left out, if it is to be said now.
    pub(super) fn may_say(&self, kind: &str) -> Option<u64> {
        let now = self.clock.boot();
        self.lines.lock().may_say(kind, now)
    }
}

/// What was said when, by kind.
#[derive(Debug, Default)]
struct Lines(BTreeMap<String, Said>);

#[derive(Debug)]
struct Said {
    at: BootInstant,
    omitted: u64,
}

impl Lines {
    fn may_say(&mut self, kind: &str, now: BootInstant) -> Option<u64> {
        let Some(said) = self.0.get_mut(kind) else {
            if self.0.len() < MAX_KINDS {
                self.0.insert(kind.to_owned(), Said { at: now, omitted: 0 });
            }
            return Some(0);
        };
        if now.since(said.at) < EVERY {
            said.omitted += 1;
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.omitted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::testing::Stopped;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::from_boot(Duration::from_secs(1_000 + seconds))
    }

    #[test]
    fn the_same_trouble_is_told_twice_a_minute() {
        let mut lines = Lines::default();
        let said: Vec<_> =
            (0..70).filter_map(|second| lines.may_say("FAIL", at(second)).map(|n| (second, n))).collect();
        assert_eq!(said, [(0, 0), (30, 29), (60, 29)]);
        assert_eq!(lines.may_say("other", at(61)), Some(0));
    }

    #[test]
    fn the_last_trouble_explains_until_a_message_arrives() {
        let trouble = Trouble::new(Arc::new(Stopped));
        trouble.explains("connection refused");
        assert_eq!(trouble.last().as_deref(), Some("connection refused"));
        trouble.is_over();
        assert_eq!(trouble.last(), None);
    }
}
