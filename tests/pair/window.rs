//! The windows from which timestamps and ids are given out, at the worst moments.

use etcd_client::WatchOptions;
use milvus_coord_testbed::{
    bed::Bed,
    load::{Ask, Load, Shape},
};

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

const TIMESTAMPS: &str = "by-dev/kv/gid/timestamp";

/// Kills the ACTIVE one whenever it has just extended its window.
async fn killed_at_each_extension(ask: Ask) {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name: &str| bed.plan(name).set(LEASE, LONG_LEASE);
    let (mut active, mut standby) = bed.pair_of(plan("first"), plan("second")).await;
    let mut store = bed.store().await;
    let load = Load::start(&bed.client().await, Shape { ask, count: 1000, ..Shape::default() });
    for _ in 0..6 {
        load.successes(20, SOON).await;
        let mut window = store.watch(TIMESTAMPS, Some(WatchOptions::new())).await.unwrap();
        let extended = tokio::time::timeout(SOON, window.message()).await;
        extended.expect("the window is extended again and again").unwrap().unwrap();
        let killed = active.kill().await;
        standby.serves(FAST).await;
        load.success_since(killed, FAST).await;
        let fresh = active.plan().start();
        fresh.standby().await;
        active = std::mem::replace(&mut standby, fresh);
    }
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    bed.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_stay_in_order_when_each_extension_is_the_last_act() {
    killed_at_each_extension(Ask::Timestamps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_stay_in_order_when_each_extension_is_the_last_act() {
    killed_at_each_extension(Ask::Ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_proof_for_each_answer_the_pair_serves_and_takes_over_too() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE).set("common.activeStandby.strict", true);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let load = Load::under_way(&bed.client().await, 200, SOON).await;
    let killed = first.kill().await;
    second.serves(FAST).await;
    load.success_since(killed, FAST).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
}
