//! Values in etcd that nobody can read.

use std::time::Duration;

use milvus_coord_testbed::bed::Bed;

use crate::bounds::{FAST, PROGRAM, SOON};

const ACTIVE: &str = "by-dev/meta/session/rootcoord";
const IDS: &str = "by-dev/meta/session/id";

/// Not a protobuf message, not JSON, not a number, not text.
const GARBAGE: &[u8] = b"\xff\xff\xff garbage";

#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_it_costs_that_database_only_and_is_kept() {
    let bed = Bed::new(PROGRAM).await;
    let mut store = bed.store().await;
    let plain = "by-dev/meta/root-coord/database/db-info/77";
    let snapshot = "by-dev/meta/snapshots/root-coord/database/db-info/77_ts1";
    for key in [plain, snapshot] {
        store.put(key, GARBAGE, None).await.unwrap();
    }
    let (first, second) = bed.pair().await;
    first.says("db-info/77", SOON).await;
    let client = bed.client().await;
    client.create_database("good").await.unwrap();
    assert_eq!(client.list_databases().await.unwrap(), ["default", "good"]);
    // While a standby looks on, too.
    store.put("by-dev/meta/root-coord/database/db-info/78", GARBAGE, None).await.unwrap();
    first.kill().await;
    second.serves(FAST).await;
    assert_eq!(client.list_databases().await.unwrap(), ["default", "good"]);
    for key in [plain, snapshot] {
        assert_eq!(store.get(key, None).await.unwrap().kvs()[0].value(), GARBAGE);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_active_key_it_is_waited_out_and_named() {
    let bed = Bed::new(PROGRAM).await;
    let mut store = bed.store().await;
    store.put(ACTIVE, GARBAGE, None).await.unwrap();
    let instance = bed.plan("only").start();
    instance.says(ACTIVE, SOON).await;
    bed.session_of(&instance).await;
    assert_eq!(instance.http("/healthz").await.unwrap().status, 200);
    assert_eq!(store.get(ACTIVE, None).await.unwrap().kvs()[0].value(), GARBAGE);
    store.delete(ACTIVE, None).await.unwrap();
    instance.serves(FAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_active_key_of_a_living_one_it_ends_the_term_but_no_process() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    let before = client.alloc_timestamp(1).await.unwrap();
    let mut store = bed.store().await;
    store.put(ACTIVE, GARBAGE, None).await.unwrap();
    store.delete(ACTIVE, None).await.unwrap();
    let next = bed.sessions().await.wait_active("somebody", FAST, |_| true).await;
    assert!([first.address(), second.address()].contains(&next.address));
    let after = client.alloc_timestamp(1).await.unwrap();
    assert!(after.first > before.first);
    assert!(first.process.ended().is_none() && second.process.ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_another_instances_session_it_disturbs_nobody() {
    let bed = Bed::new(PROGRAM).await;
    bed.store().await.put(format!("{ACTIVE}-999"), GARBAGE, None).await.unwrap();
    let (first, second) = bed.pair().await;
    first.kill().await;
    second.serves(FAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_counter_of_ids_it_is_named_and_waited_for_without_haste() {
    let bed = Bed::new(PROGRAM).await;
    let mut store = bed.store().await;
    store.put(IDS, GARBAGE, None).await.unwrap();
    let instance = bed.plan("only").start();
    instance.says(IDS, SOON).await;
    let revision = |answer: etcd_client::GetResponse| answer.header().unwrap().revision();
    let (used, before) = (instance.process.usage(), revision(store.get(IDS, None).await.unwrap()));
    // What it does with its time is what is looked at.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (now, after) = (instance.process.usage(), revision(store.get(IDS, None).await.unwrap()));
    assert!(now.cpu.saturating_sub(used.cpu) < Duration::from_millis(500), "it spins");
    assert!(after - before < 10, "it writes all the time");
    assert_eq!(store.get(IDS, None).await.unwrap().kvs()[0].value(), GARBAGE);
    store.put(IDS, "5", None).await.unwrap();
    instance.serves(SOON).await;
    assert_eq!(bed.active().await.server_id, 5);
}
