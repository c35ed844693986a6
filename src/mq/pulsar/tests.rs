//! Without a broker: nothing listens at the address, or nobody answers there.

use std::{net::TcpListener, time::Duration};

use super::*;
use crate::clock::SystemClock;

fn pulsar(listener: &TcpListener) -> Pulsar {
    let urls = vec![format!("pulsar://{}", listener.local_addr().unwrap())];
    let settings = PulsarSettings { urls, max_message: 100, ..PulsarSettings::default() };
    Pulsar::new(settings, Arc::new(SystemClock)).unwrap()
}

/// An address at which nobody answers.
fn silence() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn message(text: &'static str) -> Message {
    Message { payload: text.into(), properties: Vec::new() }
}

#[tokio::test]
async fn without_a_broker_a_message_ends_in_time_and_says_why() {
    let listener = silence();
    let pulsar = pulsar(&listener);
    drop(listener);
    let begun = SystemClock.boot();
    let error = pulsar.produce("dml_0", message("a")).await.unwrap_err();
    let took = SystemClock.boot().since(begun);
    assert!(took < MESSAGE_TIMEOUT, "{took:?}");
    assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn a_broker_that_is_silent_holds_nobody_up() {
    let listener = silence();
    let pulsar = pulsar(&listener);
    let names: Vec<String> = (0..16).map(|number| format!("dml_{number}")).collect();
    let begun = SystemClock.boot();
    let (made, sent) = tokio::join!(pulsar.ensure(&names), pulsar.produce("dml_3", message("a")));
    let took = SystemClock.boot().since(begun);
    assert!(took < MESSAGE_TIMEOUT + Duration::from_secs(2), "{took:?}");
    for error in [made.unwrap_err(), sent.unwrap_err()] {
        assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    }
    assert_eq!(pulsar.ensure(&[]).await, Ok(()));
}

#[tokio::test]
async fn a_purge_ends_what_waits() {
    let listener = silence();
    let pulsar = pulsar(&listener);
    let mut waiting: Vec<_> = (0..5).map(|_| pulsar.produce("dml_0", message("a"))).collect();
    for message in &mut waiting {
        assert!(futures::poll!(message).is_pending());
    }
    let begun = SystemClock.boot();
    pulsar.purge();
    for message in waiting {
        assert_eq!(message.await, Err(QueueError::Purged));
    }
    let took = SystemClock.boot().since(begun);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn its_tasks_end_with_it() {
    let listener = silence();
    let pulsar = pulsar(&listener);
    assert!(futures::poll!(pulsar.produce("dml_0", message("a"))).is_pending());
    let tasks = pulsar.tasks.clone();
    tasks.close();
    drop(pulsar);
    tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.unwrap();
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_at_once() {
    let pulsar = pulsar(&silence());
    let large = Message { payload: vec![0; 101].into(), properties: Vec::new() };
    let error = pulsar.produce("dml_0", large).await.unwrap_err();
    assert!(matches!(error, QueueError::Refused { .. }), "{error}");
    assert!(error.to_string().ends_with("101 bytes are more than pulsar.maxMessageSize, 100"), "{error}");
}
