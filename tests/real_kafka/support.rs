//! A broker for one test, and producers that write down what they were told.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use milvus_coord::{
    clock::SystemClock,
    config::KafkaSettings,
    mq::{MESSAGE_TIMEOUT, Message, MessageId, Queue as _, QueueError, kafka::Kafka},
};
use milvus_coord_testbed::{kafka::Kafka as Broker, oracle::Oracle};
use tokio::sync::{Mutex, MutexGuard, watch};

/// On a machine with two slow cores a broker's start takes most of it.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// How late the answer to a message may be on a busy machine.
const LATE: Duration = Duration::from_secs(3);

/// One broker at a time: each is a Java program of some hundred megabytes.
static TURN: Mutex<()> = Mutex::const_new(());

/// The programs, and the turn of this test.
pub(crate) async fn turn() -> Result<(Oracle, MutexGuard<'static, ()>), String> {
    Ok((Oracle::find()?, TURN.lock().await))
}

/// The client under test.
pub(crate) fn client(broker: &Broker) -> Arc<Kafka> {
    let settings = KafkaSettings { brokers: broker.brokers(), ..KafkaSettings::default() };
    let (kafka, notes) = Kafka::new(settings, Arc::new(SystemClock)).expect("a client");
    assert!(notes.is_empty(), "{notes:?}");
    Arc::new(kafka)
}

pub(crate) fn message(text: &str) -> Message {
    Message { payload: text.to_owned().into(), properties: Vec::new() }
}

/// The offset that an id holds.
#[track_caller]
pub(crate) fn offset(id: &MessageId) -> i64 {
    i64::from_le_bytes(id.0.as_slice().try_into().expect("eight bytes"))
}

/// Produces until it is acknowledged.
pub(crate) async fn produce_at_last(kafka: &Kafka, channel: &str, text: &str) -> MessageId {
    let begun = Instant::now();
    loop {
        match kafka.produce(channel, message(text)).await {
            Ok(id) => return id,
            Err(error) => assert!(begun.elapsed() < SOON, "{error}"),
        }
    }
}

/// How far a producer is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) acknowledged: usize,
    pub(crate) failed: usize,
}

/// What a producer was told: the offset of each of its messages, by number, or an error.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) producer: usize,
    pub(crate) channel: String,
    pub(crate) answers: Vec<Result<i64, QueueError>>,
}

/// The payload of a producer's message of that number.
pub(crate) fn text(producer: usize, number: usize) -> String {
    format!("{producer}:{number}")
}

/// Produces one message after the other until told to stop, or `limit` are given. None is
/// given twice. Every answer must come in time, and say whether the message may arrive.
pub(crate) async fn produce_on(
    kafka: Arc<Kafka>,
    producer: usize,
    channel: String,
    limit: usize,
    stop: Arc<AtomicBool>,
    progress: watch::Sender<Progress>,
) -> Account {
    let mut answers = Vec::new();
    while answers.len() < limit && !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = kafka.produce(&channel, message(&text(producer, answers.len()))).await;
        let took = begun.elapsed();
        assert!(took < MESSAGE_TIMEOUT + LATE, "{took:?}: {answer:?}");
        progress.send_modify(|progress| match &answer {
            Ok(_) => progress.acknowledged += 1,
            Err(QueueError::Unreachable { queue: "kafka", .. } | QueueError::Purged) => progress.failed += 1,
            Err(error) => panic!("{error}"),
        });
        answers.push(answer.map(|id| offset(&id)));
    }
    Account { producer, channel, answers }
}

/// Waits until `enough` is true of every producer.
pub(crate) async fn all(producers: &mut [watch::Receiver<Progress>], enough: impl Fn(&Progress) -> bool) {
    for producer in producers {
        let reached = tokio::time::timeout(SOON, producer.wait_for(&enough)).await;
        reached.expect("in time").expect("a producer that has not ended");
    }
}

/// What is acknowledged stands at its offset; what stands there of one producer is in
/// its order, and nothing is there twice.
pub(crate) async fn check(broker: &Broker, accounts: &[Account]) {
    let mut topics = BTreeMap::new();
    for account in accounts {
        let topic = &account.channel;
        if !topics.contains_key(topic) {
            let messages = broker.messages(topic).await.into_iter();
            let texts: BTreeMap<i64, String> =
                messages.map(|stored| (stored.offset, String::from_utf8(stored.payload).unwrap())).collect();
            topics.insert(topic.clone(), texts);
        }
        let stored = &topics[topic];
        for (number, answer) in account.answers.iter().enumerate() {
            if let Ok(offset) = answer {
                assert_eq!(stored.get(offset), Some(&text(account.producer, number)), "{topic} at {offset}");
            }
        }
        let own = format!("{}:", account.producer);
        let numbers: Vec<usize> =
            stored.values().filter_map(|text| text.strip_prefix(&own)?.parse().ok()).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{topic}: {own} {numbers:?}");
    }
}
