//! etcd stopped and started again.

use std::time::{Duration, Instant};

use milvus_coord_testbed::{bed::Bed, load::Load};

use crate::bounds::{LEASE, PROGRAM, SHORT_LEASE, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_short_outage_ends_no_term_and_timestamps_go_on() {
    let mut bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let term = bed.active().await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;

    bed.etcd.stop(0).unwrap();
    let down = Instant::now();
    // The length of the fault: well within the lease of 5 s.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let up = Instant::now();
    bed.etcd.start_again(0).await.unwrap();
    load.success_since(up, SOON).await;
    client.create_database("later").await.unwrap();

    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    let during = history.successes().filter(|(call, _)| call.started > down && call.ended < up).count();
    assert!(during > 20, "only {during} calls were answered during the outage");
    assert_eq!(bed.active().await.revision, term.revision);
    for instance in [&first, &second] {
        assert!(instance.process.ended().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_during_an_outage_fails_clearly_and_can_be_repeated() {
    let mut bed = Bed::new(PROGRAM).await;
    let (first, _second) = bed.pair().await;
    let direct = first.direct().await.unwrap();
    direct.create_database("before").await.unwrap();
    bed.etcd.stop(0).unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(15), direct.create_database("during")).await;
    let refused = refused.expect("an answer, not silence").expect_err("nothing can be written");
    assert!(!refused.to_string().is_empty());
    bed.etcd.start_again(0).await.unwrap();
    let client = bed.client().await;
    // Its outcome may have been unknown; then it exists already.
    let _ = client.create_database("during").await;
    assert_eq!(client.list_databases().await.unwrap(), ["before", "default", "during"]);
    bed.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_longer_than_the_lease_the_same_processes_serve_again() {
    let mut bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, SHORT_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    let load = Load::under_way(&client, 100, SOON).await;
    bed.etcd.stop(0).unwrap();
    // The length of the fault.
    tokio::time::sleep(Duration::from_secs(u64::from(SHORT_LEASE) * 2)).await;
    for instance in [&first, &second] {
        assert_eq!(instance.http("/healthz").await.unwrap().status, 200, "a restart would not help");
    }
    let up = Instant::now();
    bed.etcd.start_again(0).await.unwrap();
    load.success_since(up, SOON).await;
    load.stop().await.assert_ordered();
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
    for instance in [&first, &second] {
        assert!(instance.process.ended().is_none());
    }
    assert_eq!(bed.sessions().await.instances().await.unwrap().len(), 2);
    bed.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_etcd_is_an_outage_like_any_other() {
    let bed = Bed::new(PROGRAM).await;
    let (_first, _second) = bed.pair().await;
    let load = Load::under_way(&bed.client().await, 100, SOON).await;
    bed.etcd.freeze(0).unwrap();
    // The length of the fault.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let up = Instant::now();
    bed.etcd.thaw(0).unwrap();
    load.success_since(up, SOON).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_right_after_an_outage_loses_nothing() {
    let mut bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    let load = Load::under_way(&client, 100, SOON).await;
    bed.etcd.stop(0).unwrap();
    let killed = first.kill().await;
    bed.etcd.start_again(0).await.unwrap();
    second.serves(SOON).await;
    load.success_since(killed, SOON).await;
    load.stop().await.assert_ordered();
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
    bed.audit().await;
}
