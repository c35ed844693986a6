//! What librdkafka is told.
//!
//! Order, durability and the time that a message may take are promises of
//! [`Queue`](crate::mq::Queue): the options that carry them are decided here, and those
//! below `kafka.producer` do not count. All others go before what stands here.

use std::time::Duration;

use rdkafka::{ClientConfig, config::RDKafkaLogLevel, error::KafkaError};

use crate::config::{KafkaProperty, KafkaSettings, Note, Problem, is_secret};

/// How long librdkafka tries to deliver a message. It looks for those whose time is over
/// once a second, so that none outlives [`MESSAGE_TIMEOUT`](crate::mq::MESSAGE_TIMEOUT).
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(3);

/// Largest message; what Milvus has, and a limit that its brokers must have too.
const MAX_MESSAGE: &str = "10485760";

/// How order is kept when the broker's answer is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ordering {
    /// The broker sorts out repetitions: nothing is there twice.
    Idempotent,
    /// One request at a time, for brokers that allow no idempotent producer: a message
    /// may be there twice, which consumers bear.
    OneAtATime,
}

/// The options that carry promises, by all their names.
const OWN: [&str; 12] = [
    "acks",
    "bootstrap.servers",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "metadata.broker.list",
    "request.required.acks",
    "retries",
    "transactional.id",
];

/// Whether an operator has asked for the one or the other.
pub(super) fn ordering(settings: &KafkaSettings) -> Ordering {
    let off = |option: &KafkaProperty| {
        option.name == "enable.idempotence" && option.value.expose().eq_ignore_ascii_case("false")
    };
    if settings.producer.iter().any(off) { Ordering::OneAtATime } else { Ordering::Idempotent }
}

/// The options of the producer.
pub(super) fn client_config(settings: &KafkaSettings, ordering: Ordering) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set_log_level(RDKafkaLogLevel::Notice)
        .set("client.id", "milvus-coord")
        .set("message.max.bytes", MAX_MESSAGE)
        // As Milvus; what does not get smaller by it goes uncompressed.
        .set("compression.codec", "zstd")
        // Whoever produces waits for the answer: a batch is what has gathered meanwhile.
        .set("linger.ms", "0")
        .set("socket.nagle.disable", "true")
        .set("socket.keepalive.enable", "true")
        .set("socket.connection.setup.timeout.ms", "2000")
        // A broker that comes back is seen within a second.
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "1000")
        .set("retry.backoff.ms", "20")
        .set("retry.backoff.max.ms", "500")
        // The broker closes idle connections. That is no news.
        .set("log.connection.close", "false")
        // Wherever this system has its authorities; it need not be the one of the build.
        .set("ssl.ca.location", "probe");
    if let Some(login) = &settings.login {
        config
            .set("security.protocol", &login.protocol)
            .set("sasl.mechanisms", &login.mechanism)
            .set("sasl.username", &login.user)
            .set("sasl.password", login.password.expose());
    }
    for option in settings.producer.iter().filter(|option| !is_own(option)) {
        config.set(&option.name, option.value.expose());
    }
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("acks", "all")
        .set("message.timeout.ms", DELIVERY_TIMEOUT.as_millis().to_string());
    match ordering {
        Ordering::Idempotent => config.set("enable.idempotence", "true"),
        Ordering::OneAtATime => {
            config.set("enable.idempotence", "false").set("max.in.flight.requests.per.connection", "1")
        }
    };
    config
}

fn is_own(option: &KafkaProperty) -> bool {
    OWN.contains(&option.name.as_str())
}

/// The options that do not count.
pub(super) fn passed_over(settings: &KafkaSettings) -> Vec<Note> {
    let note = |option: &KafkaProperty| {
        Note::warn(format!(
            "kafka.producer.{} ({}) is passed over: the order of messages and the time that they may \
             take depend on it",
            option.name, option.origin
        ))
    };
    let asked = |option: &&KafkaProperty| {
        is_own(option) && !(option.name == "enable.idempotence" && ordering(settings) == Ordering::OneAtATime)
    };
    settings.producer.iter().filter(asked).map(note).collect()
}

/// What librdkafka does not accept, each by itself.
pub(super) fn problems(settings: &KafkaSettings) -> Vec<Problem> {
    let problem = |option: &KafkaProperty| {
        let refusal = ClientConfig::new()
            .set(&option.name, option.value.expose())
            .create_native_config()
            .err()
            .map(|error| reason(option, error))?;
        let what = format!("kafka.producer.{}: {refusal}", option.name);
        Some(Problem { origin: Some(option.origin.clone()), what })
    };
    settings.producer.iter().filter_map(problem).collect()
}

/// The library's words, unless they may hold a secret.
fn reason(option: &KafkaProperty, error: KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, words, ..) if !is_secret(&option.name) => words,
        _ => "not accepted".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{KafkaLogin, Origin, Secret};

    fn settings(options: &[(&str, &str)]) -> KafkaSettings {
        let option = |(name, value): &(&str, &str)| KafkaProperty {
            name: (*name).into(),
            value: Secret::new(*value),
            origin: Origin::Etcd((*name).into()),
        };
        KafkaSettings {
            brokers: "a:1,b:2".into(),
            login: None,
            producer: options.iter().map(option).collect(),
        }
    }

    #[test]
    fn a_login_is_handed_on() {
        let login = KafkaLogin {
            user: "u".into(),
            password: Secret::new("hunter2"),
            mechanism: "SCRAM-SHA-256".into(),
            protocol: "SASL_SSL".into(),
        };
        let with = KafkaSettings { login: Some(login), ..settings(&[]) };
        let config = client_config(&with, Ordering::Idempotent);
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "SCRAM-SHA-256"),
            ("sasl.username", "u"),
            ("sasl.password", "hunter2"),
        ] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
        let without = client_config(&settings(&[]), Ordering::Idempotent);
        assert_eq!(without.get("security.protocol"), None);
    }

    #[test]
    fn an_operator_may_set_what_carries_no_promise() {
        let options = [("client.id", "me"), ("acks", "0"), ("linger.ms", "5"), ("max.in.flight", "100")];
        let settings = settings(&options);
        let config = client_config(&settings, ordering(&settings));
        for (name, value) in [("client.id", "me"), ("linger.ms", "5"), ("acks", "all")] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
        assert_eq!(config.get("max.in.flight"), None);
        let notes: Vec<_> = passed_over(&settings).into_iter().map(|note| note.text).collect();
        assert_eq!(notes.len(), 2);
        assert!(
            notes[0].starts_with("kafka.producer.acks (etcd key config/acks) is passed over"),
            "{notes:?}"
        );
    }

    #[test]
    fn without_idempotence_one_request_is_on_its_way() {
        let settings = settings(&[("enable.idempotence", "FALSE")]);
        let config = client_config(&settings, ordering(&settings));
        assert_eq!(config.get("enable.idempotence"), Some("false"));
        assert_eq!(config.get("max.in.flight.requests.per.connection"), Some("1"));
        assert!(passed_over(&settings).is_empty());
    }

    #[test]
    fn all_of_it_is_known_to_the_library() {
        for ordering in [Ordering::Idempotent, Ordering::OneAtATime] {
            let config = client_config(&settings(&[]), ordering);
            config.create_native_config().unwrap();
        }
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            for protocol in ["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"] {
                let mut config = ClientConfig::new();
                config.set("sasl.mechanisms", mechanism).set("security.protocol", protocol);
                config.create_native_config().unwrap();
            }
        }
    }

    #[test]
    fn what_the_library_does_not_know_is_told_with_its_place() {
        let options = [
            ("client.id", "me"),
            ("clientid", "x"),
            ("ssl.key.password\0", "hunter2"),
            ("linger.ms", "soon"),
        ];
        let problems: Vec<_> = problems(&settings(&options)).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert_eq!(
            problems[0],
            "etcd key config/clientid: kafka.producer.clientid: No such configuration property: \"clientid\""
        );
        assert!(!problems[1].contains("hunter2"), "{problems:?}");
        assert!(problems[2].contains("linger.ms: Invalid value"), "{problems:?}");
    }
}
