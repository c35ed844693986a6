//! Producers that write down what they were told, and what a broker holds against it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use milvus_coord::{
    clock::SystemClock,
    config::PulsarSettings,
    mq::{MESSAGE_TIMEOUT, Message, MessageId, Queue as _, QueueError, Topics as _, pulsar::Pulsar},
};
use milvus_coord_testbed::{oracle::Oracle, pulsar::Pulsar as Broker};
use tokio::sync::{Mutex, MutexGuard, watch};

/// On a machine with two slow cores a broker's start takes most of it.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// How late the answer to a message may be on a busy machine.
const LATE: Duration = Duration::from_secs(3);

/// One broker at a time: each is a Java program of half a gigabyte.
static TURN: Mutex<()> = Mutex::const_new(());

/// The programs, and the turn of this test.
pub(crate) async fn turn() -> Result<(Oracle, MutexGuard<'static, ()>), String> {
    Ok((Oracle::find_with_pulsar()?, TURN.lock().await))
}

/// A client with the settings that an operator gives.
pub(crate) fn client_with(settings: PulsarSettings) -> Arc<Pulsar> {
    Arc::new(Pulsar::new(settings, Arc::new(SystemClock)).expect("a client"))
}

/// The client under test.
pub(crate) fn client(broker: &Broker) -> Arc<Pulsar> {
    client_with(PulsarSettings { urls: vec![broker.url()], ..PulsarSettings::default() })
}

pub(crate) fn message(text: &str) -> Message {
    Message { payload: text.to_owned().into(), properties: Vec::new() }
}

/// The place that an id holds: ledger and entry.
#[track_caller]
pub(crate) fn place(id: &MessageId) -> (u64, u64) {
    let mut rest = &id.0[..];
    let mut number = |tag: u8| {
        assert_eq!(rest.first(), Some(&tag), "{id:?}");
        rest = &rest[1..];
        prost::encoding::decode_varint(&mut rest).expect("a number")
    };
    let place = (number(0x08), number(0x10));
    assert_eq!((number(0x18), number(0x20)), (0, 0), "{id:?}");
    assert!(rest.is_empty(), "{id:?}");
    place
}

/// Has these topics made. A broker that has just started takes its time for the first ones.
pub(crate) async fn open(pulsar: &Pulsar, channels: &[&str]) {
    let names: Vec<String> = channels.iter().map(|&channel| channel.to_owned()).collect();
    let begun = Instant::now();
    while let Err(error) = pulsar.ensure(&names).await {
        assert!(begun.elapsed() < SOON, "{error}");
    }
}

/// Produces until it is acknowledged.
pub(crate) async fn produce_at_last(pulsar: &Pulsar, channel: &str, text: &str) -> MessageId {
    let begun = Instant::now();
    loop {
        match pulsar.produce(channel, message(text)).await {
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

/// What a producer was told: the place of each of its messages, by number, or an error.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) producer: usize,
    pub(crate) channel: String,
    pub(crate) answers: Vec<Result<(u64, u64), QueueError>>,
}

/// The payload of a producer's message of that number.
fn text(producer: usize, number: usize) -> String {
    format!("{producer}:{number}")
}

/// Produces one message after the other until told to stop, or `limit` are given. None is
/// given twice. Every answer must come in time, and say whether the message may arrive.
pub(crate) async fn produce_on(
    pulsar: Arc<Pulsar>,
    producer: usize,
    channel: String,
    limit: usize,
    stop: Arc<AtomicBool>,
    progress: watch::Sender<Progress>,
) -> Account {
    let mut answers = Vec::new();
    while answers.len() < limit && !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = pulsar.produce(&channel, message(&text(producer, answers.len()))).await;
        let took = begun.elapsed();
        assert!(took < MESSAGE_TIMEOUT + LATE, "{took:?}: {answer:?}");
        progress.send_modify(|progress| match &answer {
            Ok(_) => progress.acknowledged += 1,
            Err(QueueError::Unreachable { queue: "pulsar", .. } | QueueError::Purged) => progress.failed += 1,
            Err(error) => panic!("{error}"),
        });
        answers.push(answer.map(|id| place(&id)));
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

/// What is acknowledged stands at its place; what stands there of one producer is in its
/// order. A message may be there twice, if it was sent again when its connection broke.
pub(crate) async fn check(broker: &Broker, accounts: &[Account]) {
    let mut topics = BTreeMap::new();
    for account in accounts {
        let topic = &account.channel;
        if !topics.contains_key(topic) {
            let messages = broker.messages(topic).await.into_iter();
            let texts: BTreeMap<(u64, u64), String> =
                messages.map(|stored| (stored.place, String::from_utf8(stored.payload).unwrap())).collect();
            topics.insert(topic.clone(), texts);
        }
        let stored = &topics[topic];
        for (number, answer) in account.answers.iter().enumerate() {
            if let Ok(place) = answer {
                assert_eq!(stored.get(place), Some(&text(account.producer, number)), "{topic} at {place:?}");
            }
        }
        let own = format!("{}:", account.producer);
        let numbers: Vec<usize> =
            stored.values().filter_map(|text| text.strip_prefix(&own)?.parse().ok()).collect();
        assert!(numbers.is_sorted(), "{topic}: {own} {numbers:?}");
    }
}
