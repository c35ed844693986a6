//! The end of a term.

use futures::future::{join_all, poll_immediate};
use milvus_coord::mq::{Queue as _, QueueError};
use milvus_coord_testbed::{kafka::Kafka as Broker, or_skip};

use crate::{
    queue_traffic::{Traffic, message, produce_at_last},
    support::{check, client, turn},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_at_the_end_of_a_term_never_arrives() {
    let (oracle, _turn) = or_skip!(turn().await);
    let mut broker = Broker::start(&oracle).await;
    let kafka = client(&broker);
    kafka.produce("dml_0", message("before")).await.unwrap();
    broker.kill().await;

    let texts: Vec<String> = (0..20).map(|number| format!("waiting {number}")).collect();
    let mut waiting: Vec<_> = texts.iter().map(|text| kafka.produce("dml_0", message(text))).collect();
    for message in &mut waiting {
        assert_eq!(poll_immediate(message).await, None);
    }
    kafka.purge();
    for answer in join_all(waiting).await {
        // Nobody can tell of one that was sent before the connection broke.
        assert!(matches!(answer, Err(QueueError::Purged | QueueError::Unreachable { .. })), "{answer:?}");
    }

    broker.run().await;
    produce_at_last(&*kafka, "dml_0", "after").await;
    let stored = broker.messages("dml_0").await;
    let texts: Vec<_> = stored.iter().map(|stored| String::from_utf8_lossy(&stored.payload)).collect();
    assert_eq!(texts.first().map(AsRef::as_ref), Some("before"));
    assert!(texts[1..].iter().all(|text| text == "after"), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_term_goes_on_after_a_purge_in_full_traffic() {
    let (oracle, _turn) = or_skip!(turn().await);
    let broker = Broker::start(&oracle).await;
    let kafka = client(&broker);
    let mut traffic = Traffic::start(&kafka, "dml");
    for _ in 0..10 {
        traffic.flows().await;
        kafka.purge();
    }
    traffic.flows().await;
    check(&broker, &traffic.end().await).await;
}
