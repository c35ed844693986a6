//! A broker that serves.

use std::sync::Arc;

use milvus_coord::mq::{Message, MessageId, Queue as _, Topics as _};
use milvus_coord_testbed::{kafka::Kafka as Broker, or_skip};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    queue_traffic::{Place as _, Progress, message, produce_on},
    support::{Offset, check, client, turn},
};

#[tokio::test(flavor = "multi_thread")]
async fn messages_stand_in_order_where_their_ids_say() {
    let (oracle, _turn) = or_skip!(turn().await);
    let broker = Broker::start(&oracle).await;
    let kafka = client(&broker);
    let channels: Vec<String> = (0..4).map(|number| format!("by-dev-rootcoord-dml_{number}")).collect();
    // The last one is made by the broker at its first message.
    kafka.ensure(&channels[..3]).await.unwrap();

    let mut producers = JoinSet::new();
    for producer in 0..50 {
        let channel = channels[producer % channels.len()].clone();
        let progress = watch::Sender::new(Progress::default());
        producers.spawn(produce_on(Arc::clone(&kafka), producer, channel, 40, Arc::default(), progress));
    }
    let accounts = producers.join_all().await;
    for account in &accounts {
        let failed: Vec<_> = account.answers.iter().filter(|answer| answer.is_err()).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
    check(&broker, &accounts).await;
    for channel in &channels {
        let given: usize =
            accounts.iter().filter(|account| account.channel == *channel).map(|a| a.answers.len()).sum();
        assert_eq!(broker.messages(channel).await.len(), given, "{channel}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_looks_as_milvus_writes_it() {
    let (oracle, _turn) = or_skip!(turn().await);
    let broker = Broker::start(&oracle).await;
    let kafka = client(&broker);
    let trace =
        ("traceparent".to_owned(), "00-3c84643607abd12fa42771dd2a928e60-2d2ad2db9dfb6d1f-00".to_owned());
    let with_trace = Message { payload: vec![0, 1, 255].into(), properties: vec![trace.clone()] };
    // Nothing but zeros is the first place in a topic.
    assert_eq!(kafka.produce("dml_0", with_trace).await, Ok(MessageId(vec![0; 8])));
    assert_eq!(kafka.produce("dml_0", message("bare")).await, Ok(MessageId(vec![1, 0, 0, 0, 0, 0, 0, 0])));

    // As large as Milvus allows, less than its own overhead.
    let large = Message { payload: vec![7; 10_000_000].into(), properties: Vec::new() };
    assert_eq!(kafka.produce("dml_0", large).await.map(|id| Offset::of(&id)), Ok(Offset(2)));

    let stored = broker.messages("dml_0").await;
    assert_eq!((&stored[0].key, &stored[0].payload), (&None, &vec![0, 1, 255]));
    assert_eq!(stored[0].headers, [trace]);
    assert_eq!((&stored[1].payload[..], &stored[1].headers[..]), (&b"bare"[..], &[][..]));
    assert_eq!(stored[2].payload.len(), 10_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_are_made_once_and_kept() {
    let (oracle, _turn) = or_skip!(turn().await);
    let broker = Broker::start(&oracle).await;
    let kafka = client(&broker);
    let names: Vec<String> = (0..16).map(|number| format!("by-dev-rootcoord-dml_{number}")).collect();
    kafka.ensure(&names[..4]).await.unwrap();
    kafka.produce(&names[0], message("kept")).await.unwrap();

    // Two at once, as a term that follows another fast.
    let (one, other) = tokio::join!(kafka.ensure(&names), kafka.ensure(&names));
    assert_eq!((one, other), (Ok(()), Ok(())));
    kafka.ensure(&names).await.unwrap();

    let mut expected: Vec<_> = names.iter().map(|name| (name.clone(), 1)).collect();
    expected.sort();
    assert_eq!(broker.topics().await, expected);
    assert_eq!(broker.messages(&names[0]).await[0].payload, b"kept");
    let refused = kafka.ensure(&["no/topic".into()]).await.unwrap_err();
    assert!(refused.to_string().contains("refuses messages of no/topic"), "{refused}");
}
