//! etcd that asks who one is.

use std::time::Duration;

use etcd_client::{ConnectOptions, PermissionType};
use milvus_coord_testbed::{
    bed::Bed,
    etcd::Options,
    instance::Plan,
    load::{Load, Shape},
    log::Mark,
};

use crate::bounds::{FAST, PROGRAM, SOON};

const PASSWORD: &str = "correct horse battery staple";

/// An etcd with a user `milvus` that may do everything below the root path only.
async fn guarded(options: Options) -> Bed {
    let mut bed = Bed::with(PROGRAM, options).await;
    let mut store = bed.store().await;
    store.user_add("root", "secret", None).await.unwrap();
    store.user_grant_role("root", "root").await.unwrap();
    store.role_add("milvus").await.unwrap();
    let everything = etcd_client::Permission::new(PermissionType::Readwrite, "by-dev/").with_prefix();
    store.role_grant_permission("milvus", everything).await.unwrap();
    store.user_add("milvus", PASSWORD, None).await.unwrap();
    store.user_grant_role("milvus", "milvus").await.unwrap();
    store.auth_enable().await.unwrap();
    bed.options = ConnectOptions::new().with_user("root", "secret").with_timeout(Duration::from_secs(5));
    bed
}

fn known(plan: Plan) -> Plan {
    plan.set("etcd.auth.enabled", true)
        .set("etcd.auth.userName", "milvus")
        .set("etcd.auth.password", PASSWORD)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_with_user_and_password_serves_and_takes_over() {
    let bed = guarded(Options::default()).await;
    let (first, second) = bed.pair_of(known(bed.plan("first")), known(bed.plan("second"))).await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    first.kill().await;
    second.serves(FAST).await;
    assert_eq!(client.list_databases().await.unwrap(), ["default", "kept"]);
    for instance in [&first, &second] {
        assert!(instance.process.log.find(Mark::default(), PASSWORD).is_none(), "the password is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_costs_neither_the_term_nor_a_call() {
    let bed = guarded(Options::default().arg("--auth-token-ttl=2")).await;
    let (_first, second) = bed.pair_of(known(bed.plan("first")), known(bed.plan("second"))).await;
    let term = bed.active().await;
    let client = bed.client().await;
    let load = Load::start(&client, Shape { pace: Duration::from_millis(20), ..Shape::default() });
    // Several lives of a token, some of them without anything to write.
    tokio::time::sleep(Duration::from_secs(7)).await;
    // The test's own token has expired, too.
    bed.client().await.create_database("later").await.unwrap();
    load.successes(50, SOON).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    assert_eq!(bed.active().await.revision, term.revision);
    assert!(second.process.ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_named_and_waited_for() {
    let bed = guarded(Options::default()).await;
    let stranger = known(bed.plan("stranger")).set("etcd.auth.password", "wrong").start();
    stranger.says("authentication failed", SOON).await;
    assert!(stranger.process.ended().is_none(), "the password may be set in etcd later");
    stranger.terminate();
    assert_eq!(stranger.process.exit(SOON).await.code, Some(0));
}
