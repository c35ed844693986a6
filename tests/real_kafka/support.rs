//! A broker for one test, and where it keeps messages.

use std::sync::Arc;

use milvus_coord::{
    clock::SystemClock,
    config::KafkaSettings,
    mq::{MessageId, kafka::Kafka},
};
use milvus_coord_testbed::{kafka::Kafka as Broker, oracle::Oracle};
use tokio::sync::{Mutex, MutexGuard};

use crate::queue_traffic::{self, Account, Place};

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

/// An offset in a topic's only partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Offset(pub(crate) i64);

impl Place for Offset {
    const QUEUE: &'static str = "kafka";
    const TWICE: bool = false;

    #[track_caller]
    fn of(id: &MessageId) -> Self {
        Self(i64::from_le_bytes(id.0.as_slice().try_into().expect("eight bytes")))
    }
}

/// See [`queue_traffic::check`].
pub(crate) async fn check(broker: &Broker, accounts: &[Account<Offset>]) {
    let stored = async |topic: &str| {
        let messages = broker.messages(topic).await.into_iter();
        messages.map(|stored| (Offset(stored.offset), stored.payload)).collect()
    };
    queue_traffic::check(accounts, stored).await;
}
