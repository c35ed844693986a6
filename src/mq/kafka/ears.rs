//! Hears what librdkafka tells of itself, and passes it on at a bearable rate.
//!
//! While a broker is away the library says so at every attempt to connect. The same kind
//! of trouble gets a line at once, and then one in [`EVERY`] that says how many were left out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext, Statistics, config::RDKafkaLogLevel as Level, error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use tracing::{debug, error, info, warn};

use crate::clock::{BootInstant, Clock};

/// The same kind of trouble is told of at most this often.
const EVERY: Duration = Duration::from_secs(30);

/// For so long after it, trouble with a connection explains why a message was not sent.
const EXPLAINS: Duration = Duration::from_secs(60);

/// More kinds of trouble than there are in the library.
const MAX_KINDS: usize = 256;

/// The ears of one client.
#[derive(Clone, Debug)]
pub(super) struct Ears(Arc<Heard>);

#[derive(Debug)]
struct Heard {
    clock: Arc<dyn Clock>,
    lines: Mutex<Lines>,
    trouble: Mutex<Option<(BootInstant, String)>>,
}

impl Ears {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Heard { clock, lines: Mutex::default(), trouble: Mutex::default() }))
    }

    /// What is wrong with the connection, if it was heard lately.
    pub(super) fn trouble(&self) -> Option<String> {
        let now = self.0.clock.boot();
        let trouble = self.0.trouble.lock();
        trouble.as_ref().filter(|(at, _)| now.since(*at) < EXPLAINS).map(|(_, words)| words.clone())
    }

    /// A message has arrived: what was wrong is not any more.
    pub(super) fn is_well(&self) {
        *self.0.trouble.lock() = None;
    }

    /// How many like it were left out, if it is to be said now.
    fn may_say(&self, kind: &str) -> Option<u64> {
        let now = self.0.clock.boot();
        self.0.lines.lock().may_say(kind, now)
    }
}

impl ClientContext for Ears {
    fn log(&self, level: Level, facility: &str, words: &str) {
        let Some(omitted) = self.may_say(facility) else { return };
        match level {
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
                warn!(facility, omitted, reason = words, "kafka client");
            }
            Level::Notice | Level::Info => info!(facility, omitted, reason = words, "kafka client"),
            Level::Debug => debug!(facility, omitted, reason = words, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, words: &str) {
        let code = error.rdkafka_error_code();
        // That all brokers are down is said after why the last of them is.
        if code != Some(Code::AllBrokersDown) {
            *self.0.trouble.lock() = Some((self.0.clock.boot(), words.to_owned()));
        }
        let kind = code.map_or_else(|| "unknown".to_owned(), |code| format!("{code:?}"));
        let Some(omitted) = self.may_say(&kind) else { return };
        match code {
            Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL) => {
                error!(kind, omitted, reason = words, "kafka trouble");
            }
            _ => warn!(kind, omitted, reason = words, "kafka trouble"),
        }
    }

    fn stats(&self, _: Statistics) {}

    /// An operator may ask for statistics; they go nowhere.
    fn stats_raw(&self, _: &[u8]) {}
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
    use crate::telemetry::{
        log::LogLevel,
        testing::{Stopped, lines_of},
    };

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
    fn lines_have_the_level_that_fits() {
        let ears = Ears::new(Arc::new(Stopped));
        let lines = lines_of(LogLevel::Info, || {
            ears.log(Level::Debug, "BROKER", "a");
            ears.log(Level::Notice, "CONN", "b");
            ears.log(Level::Error, "FAIL", "c");
            ears.log(Level::Error, "FAIL", "d");
            ears.error(KafkaError::Global(Code::BrokerTransportFailure), "connection refused");
            ears.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
            ears.error(KafkaError::Global(Code::Authentication), "wrong password");
        });
        assert_eq!(
            lines,
            [
                r#"[INFO] ["kafka client"] [facility=CONN] [omitted=0] [reason=b]"#,
                r#"[WARN] ["kafka client"] [facility=FAIL] [omitted=0] [reason=c]"#,
                r#"[WARN] ["kafka trouble"] [kind=BrokerTransportFailure] [omitted=0] [reason="connection refused"]"#,
                r#"[WARN] ["kafka trouble"] [kind=AllBrokersDown] [omitted=0] [reason="1/1 brokers are down"]"#,
                r#"[ERROR] ["kafka trouble"] [kind=Authentication] [omitted=0] [reason="wrong password"]"#,
            ]
        );
    }

    #[test]
    fn the_last_trouble_explains_until_a_message_arrives() {
        let ears = Ears::new(Arc::new(Stopped));
        ears.error(KafkaError::Global(Code::BrokerTransportFailure), "connection refused");
        ears.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(ears.trouble().as_deref(), Some("connection refused"));
        ears.is_well();
        assert_eq!(ears.trouble(), None);
    }
}
