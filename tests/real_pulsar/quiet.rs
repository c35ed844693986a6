//! A broker that serves.

use std::{sync::Arc, time::Duration};

use milvus_coord::{
    config::{PulsarLogin, PulsarSettings, Secret},
    mq::{Message, MessageId, Queue as _, QueueError, Topics as _},
};
use milvus_coord_testbed::{
    or_skip,
    pulsar::{FOREIGN_TOKEN, Pulsar as Broker, TOKEN},
};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    queue_traffic::{Place as _, Progress, Traffic, message, produce_at_last, produce_on},
    support::{Entry, check, client, client_with, open, turn},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_stands_in_order_where_its_id_says() {
    let (oracle, _turn) = or_skip!(turn().await);
    let broker = Broker::start(&oracle).await;
    looks_as_milvus_writes_it(&broker).await;
    many_producers_keep_their_order(&broker).await;
    topics_are_made_once_and_kept(&broker).await;
    a_topic_that_was_deleted_is_made_again(&broker).await;
    a_partitioned_topic_is_refused(&broker).await;
    encrypted_and_with_a_token(&broker).await;
    the_next_term_goes_on_after_a_purge_in_full_traffic(&broker).await;
}

async fn looks_as_milvus_writes_it(broker: &Broker) {
    let pulsar = client(broker);
    open(&pulsar, &["looks"]).await;
    let trace =
        ("traceparent".to_owned(), "00-3c84643607abd12fa42771dd2a928e60-2d2ad2db9dfb6d1f-00".to_owned());
    let with_trace = Message { payload: vec![0, 1, 255].into(), properties: vec![trace.clone()] };
    let first = pulsar.produce("looks", with_trace).await.unwrap();
    let second = pulsar.produce("looks", message("bare")).await.unwrap();
    // As large as Milvus allows, and not to be compressed.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u8::try_from(state >> 56).unwrap()
    });
    let noise: Vec<u8> = noise.take(5 << 20).collect();
    let large = Message { payload: noise.clone().into(), properties: Vec::new() };
    let third = pulsar.produce("looks", large).await.unwrap();

    let stored = broker.messages("looks").await;
    let places: Vec<_> = stored.iter().map(|stored| stored.place).collect();
    assert_eq!(places, [&first, &second, &third].map(Entry::of));
    let payloads: Vec<_> = stored.iter().map(|stored| &stored.payload[..]).collect();
    assert_eq!(payloads, [&[0, 1, 255][..], b"bare", &noise]);
    let properties: Vec<_> = stored[0].metadata.properties.iter().map(|kv| (&kv.key, &kv.value)).collect();
    assert_eq!(properties, [(&trace.0, &trace.1)]);
    assert!(stored[1].metadata.properties.is_empty());
    // Zstd, and no batch of several.
    for stored in &stored {
        assert_eq!(stored.metadata.compression, Some(3));
        assert!(stored.metadata.num_messages_in_batch.unwrap_or(1) == 1);
    }
    // The start position of a collection is that of its message.
    let MessageId(start) = &second;
    assert_eq!(broker.message_at("looks", start).await.payload, b"bare");
}

async fn many_producers_keep_their_order(broker: &Broker) {
    let pulsar = client(broker);
    let channels: Vec<String> = (0..4).map(|number| format!("order_{number}")).collect();
    // The last one is made by its first message.
    open(&pulsar, &["order_0", "order_1", "order_2"]).await;
    let mut producers = JoinSet::new();
    for producer in 0..50 {
        let channel = channels[producer % channels.len()].clone();
        let progress = watch::Sender::new(Progress::default());
        producers.spawn(produce_on(Arc::clone(&pulsar), producer, channel, 40, Arc::default(), progress));
    }
    let accounts = producers.join_all().await;
    for account in &accounts {
        let failed: Vec<_> = account.answers.iter().filter(|answer| answer.is_err()).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
    check(broker, &accounts).await;
    for channel in &channels {
        let given: usize =
            accounts.iter().filter(|account| account.channel == *channel).map(|a| a.answers.len()).sum();
        assert_eq!(broker.messages(channel).await.len(), given, "{channel}");
    }
}

async fn topics_are_made_once_and_kept(broker: &Broker) {
    let pulsar = client(broker);
    let names: Vec<String> = (0..16).map(|number| format!("by-dev-rootcoord-dml_{number}")).collect();
    produce_at_last(&*pulsar, &names[0], "kept").await;
    // Two at once, as a term that follows another fast.
    let next = client(broker);
    let (one, other) = tokio::join!(pulsar.ensure(&names), next.ensure(&names));
    assert_eq!((one, other), (Ok(()), Ok(())));
    let mut expected = names.clone();
    expected.sort();
    let mut topics = broker.topics().await;
    topics.retain(|topic| topic.starts_with("by-dev"));
    assert_eq!(topics, expected);
    assert_eq!(broker.messages(&names[0]).await[0].payload, b"kept");
}

async fn a_topic_that_was_deleted_is_made_again(broker: &Broker) {
    let pulsar = client(broker);
    let before = produce_at_last(&*pulsar, "deleted", "before").await;
    broker.delete("deleted").await;
    let after = produce_at_last(&*pulsar, "deleted", "after").await;
    assert_ne!(Entry::of(&before), Entry::of(&after));
    let stored = broker.messages("deleted").await;
    assert_eq!(stored[0].payload, b"after");
    assert!(stored.iter().any(|stored| stored.place == Entry::of(&after)));
}

async fn a_partitioned_topic_is_refused(broker: &Broker) {
    broker.make_partitioned("partitioned", 3).await;
    let error = client(broker).produce("partitioned", message("a")).await.unwrap_err();
    assert!(matches!(error, QueueError::Refused { .. }), "{error}");
    assert!(error.to_string().ends_with("the topic has 3 partitions; it must have none"), "{error}");
}

async fn encrypted_and_with_a_token(broker: &Broker) {
    let settings = |token: &str| PulsarSettings {
        urls: vec![broker.encrypted_url()],
        trusted: Some(broker.authority()),
        login: Some(PulsarLogin::Token(Secret::new(token))),
        ..PulsarSettings::default()
    };
    produce_at_last(&*client_with(settings(TOKEN)), "encrypted", "a").await;
    assert_eq!(broker.messages("encrypted").await[0].payload, b"a");

    let error = client_with(settings(FOREIGN_TOKEN)).ensure(&["encrypted".into()]).await.unwrap_err();
    assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("AuthenticationError"), "{error}");

    let unknown = PulsarSettings { trusted: None, ..settings(TOKEN) };
    let error = client_with(unknown).ensure(&["encrypted".into()]).await.unwrap_err();
    assert!(error.to_string().contains("encryption: invalid peer certificate"), "{error}");
    assert_eq!(broker.messages("encrypted").await.len(), 1);
}

async fn the_next_term_goes_on_after_a_purge_in_full_traffic(broker: &Broker) {
    let pulsar = client(broker);
    let mut traffic = Traffic::start(&pulsar, "purged");
    for _ in 0..5 {
        traffic.flows().await;
        pulsar.purge();
        // The first message of a term waits for no more than a connection and a producer.
        let begun = std::time::Instant::now();
        produce_at_last(&*pulsar, "purged_0", "next").await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    traffic.flows().await;
    check(broker, &traffic.end().await).await;
}
