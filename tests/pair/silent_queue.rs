//! A message queue that is not there, or does not answer.

use std::net::TcpListener;

use milvus_coord_testbed::{
    bed::Bed,
    load::{Ask, Load, Shape},
    ports::free_port,
};

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

/// Nobody accepts connections; the kernel opens them all the same.
fn silence() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A pair starts and takes over with that queue, whose first error names it so.
async fn is_not_waited_for(kind: &str, key: &str, address: &str, said: &str) {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE).set("mq.type", kind).set(key, address);
    let (active, standby) = bed.pair_of(plan("first"), plan("second")).await;
    let load = Load::start(&bed.client().await, Shape { ask: Ask::Timestamps, ..Shape::default() });
    load.successes(500, SOON).await;
    active.says(said, SOON).await;

    let killed = active.kill().await;
    standby.serves(FAST).await;
    load.success_since(killed, FAST).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulsar_that_is_not_there_is_not_waited_for() {
    let address = format!("pulsar://127.0.0.1:{}", free_port());
    is_not_waited_for("pulsar", "pulsar.address", &address, "pulsar trouble").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pulsar_that_does_not_answer_is_not_waited_for() {
    let listener = silence();
    let address = format!("pulsar://{}", listener.local_addr().unwrap());
    is_not_waited_for("pulsar", "pulsar.address", &address, "pulsar trouble").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kafka_that_does_not_answer_is_not_waited_for() {
    let listener = silence();
    let address = listener.local_addr().unwrap().to_string();
    let said = "the topics of collections are not there yet";
    is_not_waited_for("kafka", "kafka.brokerList", &address, said).await;
}
