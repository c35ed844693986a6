//! Five instances, the ACTIVE one killed again and again.

use milvus_coord_testbed::{
    bed::Bed,
    load::{Load, Shape},
};

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn each_kill_makes_exactly_one_new_term_until_the_last_one_is_left() {
    let bed = Bed::new(PROGRAM).await;
    let mut instances = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let instance = bed.plan(name).set(LEASE, LONG_LEASE).start();
        if instances.is_empty() {
            instance.serves(SOON).await;
        } else {
            instance.standby().await;
        }
        instances.push(instance);
    }
    let client = bed.client().await;
    let load = Load::start(&client, Shape::default());
    for kill in 0..4 {
        load.successes(50, SOON).await;
        client.create_database(&format!("d{kill}")).await.unwrap();
        let active = bed.active().await;
        let place = instances.iter().position(|i| i.address() == active.address).unwrap();
        let killed = instances.swap_remove(place).kill().await;
        bed.sessions().await.wait_active("the next one", FAST, |s| s.revision > active.revision).await;
        load.success_since(killed, FAST).await;
    }
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(bed.audit().await.len(), 5, "one term for the start and each kill");
    assert_eq!(client.list_databases().await.unwrap(), ["d0", "d1", "d2", "d3", "default"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_kills_with_restarts_lose_no_order_and_no_database() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name: &str| bed.plan(name).set(LEASE, LONG_LEASE);
    let (mut active, mut standby) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    let load = Load::start(&client, Shape::default());
    let mut expected = vec!["default".to_owned()];
    for round in 0..10 {
        let name = format!("d{round}");
        client.create_database(&name).await.unwrap();
        expected.push(name);
        load.successes(20, SOON).await;
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
    expected.sort();
    assert_eq!(client.list_databases().await.unwrap(), expected);
    assert_eq!(bed.audit().await.len(), 11);
}
