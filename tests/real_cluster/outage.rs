//! A broker that is away while users create collections.

use std::time::Duration;

use milvus_coord_testbed::{
    cluster::{Cluster, Options},
    instance::SOON,
    log::Mark,
    or_skip,
    oracle::Oracle,
};

use crate::ours;

/// How long real proxies repeat by themselves what is worth it, at least: ten times.
const PATIENCE: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn a_user_waits_for_the_broker_and_not_in_vain() {
    let oracle = or_skip!(Oracle::find());
    let mut cluster = Cluster::start(&oracle, Options::new([ours(), ours()])).await;
    let mut user = cluster.user().await.expect("a connection to the proxy");
    user.create_collection("early").await.expect("the broker is there");

    cluster.broker_mut().kill().await;
    let waiting = tokio::spawn(async move { (user.create_collection("late").await, user) });
    // The first one could not carry it out, and the next one can't either.
    let first = &cluster.rootcoord(0).process.log;
    first.wait(Mark::default(), "does not answer", SOON).await;
    // It ends with a call in its hands: a proxy that only waits to repeat one may stay with the
    // connection that others of its calls have replaced.
    first.wait(first.mark(), "received request to create collection", SOON).await;
    cluster.kill(0).await;
    cluster.wait_active(1, SOON).await;
    cluster.rootcoord(1).says("does not answer", SOON).await;
    assert!(!waiting.is_finished());

    cluster.broker_mut().run().await;
    let (answer, mut user) =
        tokio::time::timeout(PATIENCE, waiting).await.expect("in time").expect("it ends");
    answer.expect("the collection is created");
    user.drop_collection("late").await.expect("it is there");
}
