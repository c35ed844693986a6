//! Without a broker: nothing listens at the address.

use std::net::TcpListener;

use super::*;
use crate::{
    clock::SystemClock,
    config::{KafkaProperty, Origin, Secret},
};

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn kafka(options: &[(&str, &str)]) -> Result<Kafka, ConfigError> {
    let option = |(name, value): &(&str, &str)| KafkaProperty {
        name: (*name).into(),
        value: Secret::new(*value),
        origin: Origin::Process,
    };
    let settings =
        KafkaSettings { brokers: nobody(), login: None, producer: options.iter().map(option).collect() };
    Kafka::new(settings, Arc::new(SystemClock)).map(|(kafka, _)| kafka)
}

fn message(text: &'static str) -> Message {
    Message { payload: text.into(), properties: Vec::new() }
}

#[tokio::test]
async fn without_a_broker_a_message_ends_in_time_and_says_why() {
    let kafka = kafka(&[]).unwrap();
    let begun = SystemClock.boot();
    let error = kafka.produce("dml_0", message("a")).await.unwrap_err();
    let took = SystemClock.boot().since(begun);
    assert!(took < MESSAGE_TIMEOUT + Duration::from_secs(2), "{took:?}");
    assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_purge_ends_what_waits() {
    let kafka = kafka(&[]).unwrap();
    let waiting = kafka.produce("dml_0", message("a"));
    tokio::pin!(waiting);
    // Polled once, it is in the line.
    assert!(futures::poll!(&mut waiting).is_pending());
    let begun = SystemClock.boot();
    kafka.purge();
    assert_eq!(waiting.await, Err(QueueError::Purged));
    let took = SystemClock.boot().since(begun);
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn without_a_broker_no_topics_are_made_and_soon_told() {
    let kafka = kafka(&[]).unwrap();
    let begun = SystemClock.boot();
    let error = kafka.ensure(&["dml_0".into()]).await.unwrap_err();
    let took = SystemClock.boot().since(begun);
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    assert_eq!(kafka.ensure(&[]).await, Ok(()));
}

#[test]
fn a_message_that_is_too_large_is_refused_at_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let kafka = kafka(&[("message.max.bytes", "2000")]).unwrap();
    let large = Message { payload: vec![0; 3000].into(), properties: Vec::new() };
    let error = runtime.block_on(kafka.produce("dml_0", large)).unwrap_err();
    assert!(matches!(error, QueueError::Refused { .. }), "{error}");
}

#[test]
fn options_that_contradict_each_other_keep_the_process_from_starting() {
    let error =
        kafka(&[("security.protocol", "sasl_ssl"), ("sasl.mechanisms", "OAUTHBEARER"), ("debug", "nothing")])
            .unwrap_err();
    assert!(error.to_string().contains("debug"), "{error}");
    let error = kafka(&[("queuing.strategy", "lifo")]).unwrap_err();
    assert!(error.to_string().starts_with("kafka.*: "), "{error}");
}
