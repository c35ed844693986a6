//! Who should be ACTIVE.

use milvus_coord_testbed::{
    bed::Bed,
    instance::{Instance, Plan},
    load::Load,
};

use crate::{
    bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON},
    commands::status_of,
};

const PRIORITY: &str = "common.activeStandby.priority";
const FAILBACK: &str = "common.activeStandby.failback";
const AFTER: &str = "common.activeStandby.failbackAfterSeconds";

fn plan(bed: &Bed, name: &str, priority: i32) -> Plan {
    bed.elsewhere(name).set(LEASE, LONG_LEASE).set(PRIORITY, priority)
}

/// One that serves, a standby that came first, and a preferred one that came later.
async fn three(bed: &Bed) -> [Instance; 3] {
    let (active, usual) = bed.pair_of(plan(bed, "active", 20), plan(bed, "usual", 0)).await;
    let preferred = plan(bed, "preferred", 10).start();
    preferred.standby().await;
    [active, usual, preferred]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_hands_over_to_the_preferred_standby() {
    let bed = Bed::new(PROGRAM).await;
    let [active, _usual, preferred] = three(&bed).await;
    assert_eq!(status_of(&bed, &preferred).await["priority"], 10);
    let client = bed.client().await;
    // Until all streams are there, which a hand-over needs.
    let load = Load::under_way(&client, 500, SOON).await;
    let asked = active.terminate();
    bed.wait_active(&preferred, FAST).await;
    load.success_since(asked, FAST).await;
    load.stop().await.assert_no_failures();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_death_the_preferred_standby_is_first() {
    let bed = Bed::new(PROGRAM).await;
    let [active, _usual, preferred] = three(&bed).await;
    let load = Load::under_way(&bed.client().await, 500, SOON).await;
    let killed = active.kill().await;
    bed.wait_active(&preferred, FAST).await;
    load.success_since(killed, FAST).await;
    load.stop().await.assert_no_failures();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preferred_one_that_is_back_gets_the_role_once_and_no_call_is_lost() {
    let bed = Bed::new(PROGRAM).await;
    let back = |name| plan(&bed, name, 10).set(FAILBACK, true).set(AFTER, 2);
    let usual = plan(&bed, "usual", 0).start();
    usual.serves(SOON).await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    let load = Load::under_way(&client, 100, SOON).await;

    let preferred = back("preferred").start();
    let asked = preferred.says("preferred to the ACTIVE rootcoord: asking it to hand over", SOON).await;
    assert!(asked - preferred.started >= std::time::Duration::from_secs(2));
    usual.says("a preferred rootcoord asks for the role: handing over", SOON).await;
    bed.wait_active(&preferred, FAST).await;
    usual.says("rootcoord is in STANDBY ...", SOON).await;
    // An equal one that may ask, too, does not.
    let equal = back("equal").start();
    equal.standby().await;
    load.successes(100, SOON).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    load.successes(100, SOON).await;

    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(bed.active().await.address, preferred.address());
    assert_eq!(bed.audit().await.len(), 2, "it moved once");
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_a_preferred_one_that_is_back_stays_standby() {
    let bed = Bed::new(PROGRAM).await;
    let usual = plan(&bed, "usual", 0).start();
    usual.serves(SOON).await;
    let preferred = plan(&bed, "preferred", 10).set(AFTER, 1).start();
    preferred.standby().await;
    // That nothing happens can only be waited for.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(bed.active().await.address, usual.address());
    assert_eq!(bed.audit().await.len(), 1);
}
