//! A broker for one test, and where it keeps messages.

use std::{sync::Arc, time::Instant};

use milvus_coord::{
    clock::SystemClock,
    config::PulsarSettings,
    mq::{MessageId, Topics as _, pulsar::Pulsar},
};
use milvus_coord_testbed::{oracle::Oracle, pulsar::Pulsar as Broker};
use tokio::sync::{Mutex, MutexGuard};

use crate::queue_traffic::{self, Account, Place, SOON};

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

/// Ledger and entry.
pub(crate) type Entry = (u64, u64);

impl Place for Entry {
    const QUEUE: &'static str = "pulsar";
    const TWICE: bool = true;

    #[track_caller]
    fn of(id: &MessageId) -> Self {
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
}

/// Has these topics made. A broker that has just started takes its time for the first ones.
pub(crate) async fn open(pulsar: &Pulsar, channels: &[&str]) {
    let names: Vec<String> = channels.iter().map(|&channel| channel.to_owned()).collect();
    let begun = Instant::now();
    while let Err(error) = pulsar.ensure(&names).await {
        assert!(begun.elapsed() < SOON, "{error}");
    }
}

/// See [`queue_traffic::check`].
pub(crate) async fn check(broker: &Broker, accounts: &[Account<Entry>]) {
    let stored = async |topic: &str| {
        let messages = broker.messages(topic).await.into_iter();
        messages.map(|stored| (stored.place, stored.payload)).collect()
    };
    queue_traffic::check(accounts, stored).await;
}
