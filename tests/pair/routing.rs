//! Calls that reach the wrong instance, or carry the wrong address.

use milvus_coord_testbed::{
    bed::Bed,
    grpc::{Direct, Failure},
};
use tonic::Code;

use crate::bounds::{FAST, PROGRAM};

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_names_no_server_is_served_by_the_active_one_wherever_it_arrives() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let (to_active, to_standby) = (first.direct().await.unwrap(), second.direct().await.unwrap());
    to_standby.create_database("through").await.unwrap();
    assert_eq!(to_active.list_databases().await.unwrap(), ["default", "through"]);
    let (a, b) =
        (to_standby.alloc_timestamp(10).await.unwrap(), to_active.alloc_timestamp(10).await.unwrap());
    let c = to_standby.alloc_timestamp(10).await.unwrap();
    assert!(a.last() < b.first && b.last() < c.first, "{a:?} {b:?} {c:?}");
    // The next ACTIVE one is found by the same connection.
    first.kill().await;
    second.serves(FAST).await;
    assert!(to_standby.alloc_timestamp(1).await.unwrap().first > c.last());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_forwarding_a_standby_says_that_it_is_one() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set("common.activeStandby.forward", false);
    let (_first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let failure = second.direct().await.unwrap().alloc_timestamp(1).await.unwrap_err();
    let Failure::Answer(status) = failure else { panic!("{failure}") };
    assert_eq!(status.code, 1);
    assert!(status.retriable && status.reason.contains("StandBy"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_another_server_is_pushed_away_by_both() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    for instance in [&first, &second] {
        let own = bed.session_of(instance).await.server_id;
        let direct = Direct::connect(&instance.address(), Some(own + 100)).await.unwrap();
        let failure = direct.alloc_timestamp(1).await.unwrap_err();
        let Failure::Grpc(status) = &failure else { panic!("{failure}") };
        assert_eq!(status.code(), Code::Unknown);
        let text = format!("node not match[expectedNodeID={}][actualNodeID={own}]", own + 100);
        assert!(status.message().contains(&text), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_for_another_cluster_is_refused() {
    let bed = Bed::new(PROGRAM).await;
    let only = bed.plan("only").set("common.chanNamePrefix.cluster", "elsewhere").start();
    only.serves(FAST).await;
    let failure = only.direct().await.unwrap().alloc_timestamp(1).await.unwrap_err();
    let Failure::Grpc(status) = &failure else { panic!("{failure}") };
    assert_eq!(status.code(), Code::Unknown);
    let text = "cross cluster routing[expectedCluster=elsewhere][actualCluster=by-dev]";
    assert!(status.message().contains(text), "{failure}");
}
