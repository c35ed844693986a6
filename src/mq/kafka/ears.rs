//! Hears what librdkafka tells of itself, and passes it on at a bearable rate.
//!
//! While a broker is away the library says so at every attempt to connect.

use std::sync::Arc;

use rdkafka::{
    ClientContext, Statistics, config::RDKafkaLogLevel as Level, error::KafkaError,
    types::RDKafkaErrorCode as Code,
};
use tracing::{debug, error, info, warn};

use crate::{clock::Clock, mq::trouble::Trouble};

/// The ears of one client.
#[derive(Clone, Debug)]
pub(super) struct Ears(Arc<Trouble>);

impl Ears {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Trouble::new(clock)))
    }

    /// What is wrong with the connection, if it was heard lately.
    pub(super) fn trouble(&self) -> Option<String> {
        self.0.last()
    }

    /// A message has arrived: what was wrong is not any more.
    pub(super) fn is_well(&self) {
        self.0.is_over();
    }

    /// How many like it were left out, if it is to be said now.
    fn may_say(&self, kind: &str) -> Option<u64> {
        self.0.may_say(kind)
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
            self.0.explains(words);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{
        log::LogLevel,
        testing::{Stopped, lines_of},
    };

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
    fn that_all_brokers_are_down_does_not_explain_why() {
        let ears = Ears::new(Arc::new(Stopped));
        ears.error(KafkaError::Global(Code::BrokerTransportFailure), "connection refused");
        ears.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(ears.trouble().as_deref(), Some("connection refused"));
    }
}
