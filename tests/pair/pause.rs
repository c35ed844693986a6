//! Automatic takeover, paused for maintenance.

use std::time::Duration;

use milvus_coord_testbed::{
    bed::{Bed, ROOT},
    http,
    instance::Instance,
    keys,
    load::Load,
};
use serde_json::Value;

use crate::{
    bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SHORT_LEASE, SOON},
    commands::{milvus_coord, status_of, text},
};

const HELD: &str = "automatic takeover is paused: not taking over";

async fn told(bed: &Bed, arguments: &[&str]) -> String {
    let output = milvus_coord(bed, arguments, None).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    text(&output)
}

/// Pauses, and waits until the instances know of it.
async fn pause(bed: &Bed, arguments: &[&str], instances: &[&Instance]) {
    told(bed, &[&["pause", "rootcoord"], arguments].concat()).await;
    for instance in instances {
        instance.says("automatic takeover of rootcoord is paused", SOON).await;
    }
}

async fn paused_metric(instance: &Instance) -> Option<f64> {
    http::metric(&instance.http("/metrics").await.unwrap().body, "milvus_coord_paused")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_active_one_is_replaced_only_after_resume_and_then_at_once() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    assert_eq!(paused_metric(&second).await, Some(0.0));
    pause(&bed, &["--reason", "new kernel"], &[&first, &second]).await;

    let row = status_of(&bed, &second).await;
    assert_eq!(row["paused"]["reason"], "new kernel", "{row}");
    assert!((3500..=3600).contains(&row["paused"]["left_s"].as_u64().unwrap()), "{row}");
    let table = told(&bed, &["status"]).await;
    assert!(table.contains("rootcoord: automatic takeover is paused until 20"), "{table}");
    let role: Value = serde_json::from_str(&second.http("/role").await.unwrap().body).unwrap();
    assert_eq!(role["paused"]["reason"], "new kernel", "{role}");
    assert_eq!(paused_metric(&second).await, Some(1.0));

    first.kill().await;
    // It knows, and does nothing.
    second.says(HELD, FAST).await;
    assert_eq!(bed.active().await.address, first.address());

    let mark = second.process.log.mark();
    told(&bed, &["resume", "rootcoord"]).await;
    second.process.log.wait(mark, "RootCoord startup success", FAST).await;
    second.says("automatic takeover of rootcoord is no longer paused", SOON).await;
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
    assert_eq!(bed.audit().await.len(), 2, "one takeover");
    assert_eq!(paused_metric(&second).await, Some(0.0));
    assert!(status_of(&bed, &second).await["paused"].is_null());
    assert!(told(&bed, &["resume", "rootcoord"]).await.contains("was not paused"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_is_forgotten_ends_by_itself_even_when_the_key_is_long_gone() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.elsewhere(name).set(LEASE, SHORT_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let began = std::time::Instant::now();
    pause(&bed, &["--for", "10s"], &[&second]).await;
    first.kill().await;
    second.says(HELD, FAST).await;
    let served = second.serves(SOON).await;
    // By its own clock, whatever etcd does about the lease.
    assert!(served - began >= Duration::from_secs(10), "{:?}", served - began);
    assert_eq!(bed.audit().await.len(), 2, "one takeover");
    let key = format!("{ROOT}/kv/milvus-coord/pause/rootcoord");
    keys::wait(&bed.store().await, &key, "the end of the key's lease", SOON, <[_]>::is_empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_asks_for_works_during_a_pause() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    pause(&bed, &[], &[&first, &second]).await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;
    told(&bed, &["switchover", "rootcoord"]).await;
    bed.wait_active(&second, FAST).await;
    // Long enough for the stream that a hand-over needs.
    load.successes(500, SOON).await;
    let asked = second.terminate();
    bed.wait_active(&first, FAST).await;
    load.success_since(asked, FAST).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_active_one_gets_its_role_back_during_a_pause() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    pause(&bed, &[], &[&second]).await;
    first.kill().await;
    second.says(HELD, FAST).await;
    let again = first.plan().start();
    again.serves(FAST).await;
    assert_eq!(bed.active().await.address, first.address());
    assert!(second.process.ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_place_of_a_pause_keeps_nobody_from_taking_over() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let key = format!("{ROOT}/kv/milvus-coord/pause/rootcoord");
    bed.store().await.put(key, "for ever", None).await.unwrap();
    second.says("pause in etcd can not be read", SOON).await;
    first.kill().await;
    second.serves(FAST).await;
    assert!(told(&bed, &["resume", "rootcoord"]).await.contains("is resumed"));
}
