//! A broker that is not there yet, is slow, stands still, dies, and comes back.

use futures::future::{join_all, poll_immediate};
use milvus_coord::mq::{Queue as _, QueueError, Topics as _};
use milvus_coord_testbed::{or_skip, pulsar::Pulsar as Broker};

use crate::{
    queue_traffic::{Traffic, message, produce_at_last},
    support::{check, client, open, turn},
};

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_broker_does_nothing_acknowledged_is_lost_and_nothing_purged_arrives() {
    let (oracle, _turn) = or_skip!(turn().await);
    let mut broker = Broker::prepare(&oracle);
    let pulsar = client(&broker);
    let error = pulsar.produce("early", message("early")).await.unwrap_err();
    assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    assert!(pulsar.ensure(&["early".into()]).await.is_err());
    broker.run().await;
    produce_at_last(&*pulsar, "early", "late").await;
    open(&pulsar, &["early", "other"]).await;
    assert_eq!(broker.messages("early").await[0].payload, b"late");

    let mut traffic = Traffic::start(&pulsar, "dml");
    traffic.flows().await;
    let process = broker.process().unwrap();
    process.while_slow(traffic.flows()).await;
    assert!(!traffic.has_failed());

    // What it takes late comes before what is given later.
    process.freeze().await;
    traffic.fails().await;
    process.thaw();
    traffic.flows().await;

    broker.kill().await;
    traffic.fails().await;
    let (waiting, purged) = (client(&broker), "waiting");
    let texts: Vec<String> = (0..20).map(|number| format!("{purged} {number}")).collect();
    let mut line: Vec<_> = texts.iter().map(|text| waiting.produce("line", message(text))).collect();
    let mut own: Vec<_> = texts.iter().map(|text| pulsar.produce("early", message(text))).collect();
    for message in line.iter_mut().chain(&mut own) {
        assert_eq!(poll_immediate(message).await, None);
    }
    waiting.purge();
    for answer in join_all(line).await {
        assert_eq!(answer, Err(QueueError::Purged));
    }
    pulsar.purge();
    for answer in join_all(own).await {
        // Nobody can tell of one that the client had.
        assert!(matches!(answer, Err(QueueError::Purged | QueueError::Unreachable { .. })), "{answer:?}");
    }

    broker.run().await;
    produce_at_last(&*pulsar, "early", "after").await;
    produce_at_last(&*waiting, "line", "after").await;
    traffic.flows().await;
    check(&broker, &traffic.end().await).await;
    for (topic, expected) in [("early", &["late", "after"][..]), ("line", &["after"])] {
        let stored = broker.messages(topic).await;
        let mut texts: Vec<_> =
            stored.iter().map(|stored| String::from_utf8_lossy(&stored.payload).into_owned()).collect();
        // One that was sent may have been acknowledged too late, and is given again then.
        texts.dedup();
        assert_eq!(texts, expected, "{topic}");
    }
}
