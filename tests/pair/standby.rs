//! The life of a standby: it must be ready when it is needed, and nobody's trouble
//! until then.

use std::time::Duration;

use milvus_coord_testbed::{bed::Bed, load::Load};
use milvus_proto::common::StateCode;

use crate::bounds::{FAST, LEASE, LEASE_END, LONG_LEASE, PROGRAM, SHORT_LEASE, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn says_in_every_way_that_it_is_standby() {
    let bed = Bed::new(PROGRAM).await;
    let (active, standby) = bed.pair().await;
    assert_eq!(active.direct().await.unwrap().state_code().await.unwrap(), StateCode::Healthy);
    assert_eq!(standby.direct().await.unwrap().state_code().await.unwrap(), StateCode::StandBy);
    for (path, of_active, of_standby) in
        [("/healthz", 200, 200), ("/active", 200, 503), ("/standby", 503, 200)]
    {
        assert_eq!(active.http(path).await.unwrap().status, of_active, "{path} of the active one");
        assert_eq!(standby.http(path).await.unwrap().status, of_standby, "{path} of the standby");
    }
    assert_eq!(standby.http("/healthz").await.unwrap().body, "OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_at_once_on_sigterm() {
    let bed = Bed::new(PROGRAM).await;
    let (active, standby) = bed.pair().await;
    let session = bed.session_of(&standby).await;
    let asked = standby.terminate();
    let exit = standby.process.exit(SOON).await;
    assert_eq!(exit.code, Some(0));
    assert!(exit.at - asked < Duration::from_secs(3), "{:?}", exit.at - asked);
    let left = bed.sessions().await.all().await.unwrap();
    assert!(left.iter().all(|other| other.server_id != session.server_id), "{left:?}");
    assert_eq!(bed.active().await.address, active.address());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_it_costs_no_call() {
    let bed = Bed::new(PROGRAM).await;
    let (_active, standby) = bed.pair().await;
    let term = bed.active().await;
    let load = Load::under_way(&bed.client().await, 100, SOON).await;
    standby.kill().await;
    load.successes(500, SOON).await;
    let history = load.stop().await;
    history.assert_no_failures();
    assert_eq!(history.calls.iter().map(|call| call.attempts).max(), Some(1));
    assert_eq!(bed.active().await, term);
}

#[tokio::test(flavor = "multi_thread")]
async fn registers_again_with_a_fresh_lease_when_its_lease_is_lost() {
    let bed = Bed::new(PROGRAM).await;
    let (active, standby) = bed.pair().await;
    let mut store = bed.store().await;
    let mut lost = bed.session_of(&standby).await;
    for _ in 0..3 {
        store.lease_revoke(lost.lease).await.unwrap();
        let sessions = bed.sessions().await;
        let is_back = |session: &milvus_coord_testbed::session::Session| {
            session.address == lost.address && session.lease != lost.lease
        };
        let all = sessions.wait("the standby to be back", SOON, |all| all.iter().any(is_back)).await;
        let back = all.into_iter().find(is_back).unwrap();
        assert_eq!(back.server_id, lost.server_id, "the process keeps its id");
        assert_eq!(back.named_lease, back.lease, "the value names the lease of the key");
        lost = back;
    }
    active.kill().await;
    standby.serves(FAST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn takes_over_although_its_lease_is_lost_in_the_same_moment() {
    let bed = Bed::new(PROGRAM).await;
    for delay in [0, 10, 50] {
        let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE);
        let (active, standby) = bed.pair_of(plan("first"), plan("second")).await;
        let lease = bed.session_of(&standby).await.lease;
        bed.store().await.lease_revoke(lease).await.unwrap();
        // What is varied, not a wait: how far it has got with its new lease.
        tokio::time::sleep(Duration::from_millis(delay)).await;
        active.kill().await;
        standby.serves(FAST).await;
        bed.client().await.alloc_timestamp(1).await.unwrap();
        standby.terminate();
        assert_eq!(standby.process.exit(SOON).await.code, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_wait_and_one_after_the_other_takes_over() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, SHORT_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let third = plan("third").start();
    third.standby().await;
    first.kill().await;
    let next = bed.sessions().await;
    let next = next.wait_active("another one", LEASE_END, |s| s.address != first.address()).await;
    let (next, last) = if next.address == second.address() { (second, third) } else { (third, second) };
    next.serves(SOON).await;
    next.kill().await;
    bed.wait_active(&last, LEASE_END).await;
    last.serves(SOON).await;
    assert_eq!(bed.audit().await.len(), 3, "one term for each kill");
}
