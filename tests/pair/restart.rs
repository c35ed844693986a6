//! A supervisor that starts a killed instance again, at the same address, at once.

use milvus_coord_testbed::{bed::Bed, instance::Plan, load::Load};

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

/// Kills the only instance and starts it again.
async fn replaces_itself(bed: &Bed, plan: Plan) {
    let first = plan.set(LEASE, LONG_LEASE).start();
    first.serves(SOON).await;
    let client = bed.client().await;
    let before = client.alloc_timestamp(10).await.unwrap();
    first.kill().await;
    let again = first.plan().start();
    again.serves(FAST).await;
    let after = client.alloc_timestamp(10).await.unwrap();
    assert!(after.first > before.last());
    assert_eq!(bed.audit().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_its_predecessor_does_not_hold_it_up() {
    let bed = Bed::new(PROGRAM).await;
    // Another run directory would not help: only address and host name tell.
    replaces_itself(&bed, bed.plan("only")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_its_predecessor_does_not_hold_it_up_without_active_standby() {
    let bed = Bed::new(PROGRAM).await;
    replaces_itself(&bed, bed.plan("only").set("rootCoord.enableActiveStandby", false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_active_one_hides_no_death_from_its_standby() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.elsewhere(name).set(LEASE, LONG_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let load = Load::under_way(&bed.client().await, 500, SOON).await;
    let killed = first.kill().await;
    let again = first.plan().start();
    load.success_since(killed, FAST).await;
    bed.session_of(&again).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert!(second.process.ended().is_none() && again.process.ended().is_none());
    assert_eq!(bed.audit().await.len(), 2, "one death, one new term");
}
