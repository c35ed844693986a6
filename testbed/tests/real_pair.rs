//! The oracle works: a pair of real rootcoords takes over as Milvus does.

use std::time::Duration;

use milvus_coord_testbed::{
    etcd::Etcd,
    follower::Follower,
    or_skip,
    oracle::{Oracle, RealCluster},
    session::Sessions,
};

/// The lease of the real one, shortened so that its end can be waited for.
const TTL: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_real_pair_serves_and_takes_over_when_the_lease_of_the_killed_one_ends() {
    let oracle = or_skip!(Oracle::find());
    let etcd = Etcd::single().await.unwrap();
    let cluster = RealCluster::start(&oracle).await;
    let plan = || cluster.rootcoord(&etcd.endpoints(), "real").set("common.session.ttl", TTL);

    let first = plan().named("first").start();
    first.serves(Duration::from_secs(60)).await;
    let second = plan().named("second").start();
    second.standby().await;

    let sessions = Sessions::new(etcd.client().await.unwrap(), "real", "rootcoord");
    let client = Follower::new(sessions);
    let before = client.alloc_timestamp(10).await.unwrap();
    client.create_database("kept").await.unwrap();

    first.kill().await;
    second.serves(Duration::from_secs(3 * TTL)).await;
    let after = client.alloc_timestamp(10).await.unwrap();
    assert!(after.first > before.last(), "{before:?} {after:?}");
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
}
