//! A broker that dies, stands still, is slow, has lost a topic, or is not there yet.

use milvus_coord::mq::{Queue as _, QueueError, Topics as _};
use milvus_coord_testbed::{kafka::Kafka as Broker, or_skip};

use crate::{
    queue_traffic::{Place as _, Traffic, message, produce_at_last},
    support::{Offset, check, client, turn},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_loses_nothing_that_was_acknowledged() {
    let (oracle, _turn) = or_skip!(turn().await);
    let mut broker = Broker::start(&oracle).await;
    let mut traffic = Traffic::start(&client(&broker), "dml");
    traffic.flows().await;
    broker.kill().await;
    traffic.fails().await;
    broker.run().await;
    traffic.flows().await;
    check(&broker, &traffic.end().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_back_at_once_is_used_at_once() {
    let (oracle, _turn) = or_skip!(turn().await);
    let mut broker = Broker::start(&oracle).await;
    let mut traffic = Traffic::start(&client(&broker), "dml");
    traffic.flows().await;
    broker.restart().await;
    traffic.flows().await;
    check(&broker, &traffic.end().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_broker_takes_late_comes_before_what_is_given_later() {
    let (oracle, _turn) = or_skip!(turn().await);
    let broker = Broker::start(&oracle).await;
    let mut traffic = Traffic::start(&client(&broker), "dml");
    traffic.flows().await;
    let process = broker.process().unwrap();
    process.freeze().await;
    traffic.fails().await;
    process.thaw();
    traffic.flows().await;
    check(&broker, &traffic.end().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_comes_later_is_found() {
    let (oracle, _turn) = or_skip!(turn().await);
    let mut broker = Broker::prepare(&oracle).await;
    let kafka = client(&broker);
    let error = kafka.produce("dml_0", message("early")).await.unwrap_err();
    assert!(matches!(error, QueueError::Unreachable { .. }), "{error}");
    assert!(kafka.ensure(&["dml_0".into()]).await.is_err());

    broker.run().await;
    let id = produce_at_last(&*kafka, "dml_0", "late").await;
    assert_eq!(Offset::of(&id), Offset(0));
    kafka.ensure(&["dml_0".into(), "dml_1".into()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_broker_takes_everything_and_a_deleted_topic_is_made_again() {
    let (oracle, _turn) = or_skip!(turn().await);
    let broker = Broker::start(&oracle).await;
    let kafka = client(&broker);
    let mut traffic = Traffic::start(&kafka, "dml");
    traffic.flows().await;
    broker.process().unwrap().while_slow(traffic.flows()).await;
    assert!(!traffic.has_failed());
    check(&broker, &traffic.end().await).await;

    broker.delete("dml_0").await;
    let id = produce_at_last(&*kafka, "dml_0", "first").await;
    assert_eq!(Offset::of(&id), Offset(0));
    let mut traffic = Traffic::<Offset>::start(&kafka, "dml");
    traffic.flows().await;
    assert!(!traffic.has_failed());
    let mut accounts = traffic.end().await;
    accounts.retain(|account| account.channel == "dml_0");
    check(&broker, &accounts).await;
    assert_eq!(broker.messages("dml_0").await[0].payload, b"first");
}
