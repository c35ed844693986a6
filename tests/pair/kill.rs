//! `kill -9` of the ACTIVE one.

use milvus_coord_testbed::{
    bed::Bed,
    instance::Plan,
    load::{Ask, Load, Shape},
};

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

/// Kills the ACTIVE one of a pair under load and checks what the callers saw.
async fn takes_over(bed: &Bed, first: Plan, second: Plan, ask: Ask) {
    let (active, standby) = bed.pair_of(first.set(LEASE, LONG_LEASE), second.set(LEASE, LONG_LEASE)).await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    let load = Load::start(&client, Shape { ask, ..Shape::default() });
    // Long enough for the two to know each other: before that, only the lease tells.
    load.successes(500, SOON).await;

    let killed = active.kill().await;
    standby.serves(FAST).await;
    load.success_since(killed, FAST).await;

    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(history.servers().len(), 2, "both have answered");
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
    assert_eq!(bed.audit().await.len(), 2, "one takeover");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_on_the_same_machine_serves_without_waiting_for_the_lease() {
    let bed = Bed::new(PROGRAM).await;
    takes_over(&bed, bed.plan("first"), bed.plan("second"), Ask::Timestamps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_on_another_machine_serves_without_waiting_for_the_lease() {
    let bed = Bed::new(PROGRAM).await;
    takes_over(&bed, bed.elsewhere("first"), bed.elsewhere("second"), Ask::Timestamps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_stay_unique_and_rising_across_a_takeover() {
    let bed = Bed::new(PROGRAM).await;
    takes_over(&bed, bed.plan("first"), bed.plan("second"), Ask::Ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fast_way_the_standby_waits_for_the_lease() {
    let bed = Bed::new(PROGRAM).await;
    let slow = |name| bed.elsewhere(name).set("common.activeStandby.fastTakeover", false).set(LEASE, 2);
    let (active, standby) = bed.pair_of(slow("first"), slow("second")).await;
    let key = bed.active().await;
    let killed = active.kill().await;
    let served = standby.serves(SOON).await;
    assert_ne!(bed.active().await.revision, key.revision);
    // The last renewal was sent at most a third of the lease before the kill.
    assert!(served - killed > std::time::Duration::from_secs(1), "{:?}", served - killed);
}
