//! Hands on the ACTIVE key: deleted, overwritten, its lease revoked.

use milvus_coord_testbed::{bed::Bed, instance::Instance, load::Load};

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

/// After `blow` one of the two serves in a new term; both still run, under their old ids.
async fn survives(bed: &Bed, pair: (&Instance, &Instance), blow: impl AsyncFnOnce()) {
    let ids = [bed.session_of(pair.0).await.server_id, bed.session_of(pair.1).await.server_id];
    let old = bed.active().await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;
    let struck = std::time::Instant::now();
    blow().await;
    let next = bed.sessions().await.wait_active("a new term", FAST, |s| s.revision > old.revision).await;
    assert!(ids.contains(&next.server_id), "{next:?}");
    load.success_since(struck, FAST).await;
    load.successes(100, SOON).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
    for (instance, id) in [pair.0, pair.1].into_iter().zip(ids) {
        assert!(instance.process.ended().is_none(), "{} ended", instance.process.name());
        assert_eq!(bed.session_of(instance).await.server_id, id);
    }
    bed.audit().await;
}

fn plan(bed: &Bed, name: &str) -> milvus_coord_testbed::instance::Plan {
    bed.plan(name).set(LEASE, LONG_LEASE)
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_by_hand_it_is_won_anew() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair_of(plan(&bed, "first"), plan(&bed, "second")).await;
    let mut store = bed.store().await;
    survives(&bed, (&first, &second), async || {
        store.delete("by-dev/meta/session/rootcoord", None).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_with_its_lease_it_is_won_anew() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair_of(plan(&bed, "first"), plan(&bed, "second")).await;
    let (lease, mut store) = (bed.active().await.lease, bed.store().await);
    survives(&bed, (&first, &second), async || {
        store.lease_revoke(lease).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_loser_ends_with_code_four_where_that_is_wanted() {
    let bed = Bed::new(PROGRAM).await;
    let exits = |name| plan(&bed, name).set("common.activeStandby.onLost", "exit");
    let (first, second) = bed.pair_of(exits("first"), exits("second")).await;
    first.process.freeze().await;
    let lease = bed.active().await.lease;
    bed.store().await.lease_revoke(lease).await.unwrap();
    second.serves(FAST).await;
    first.process.thaw();
    assert_eq!(first.process.exit(SOON).await.code, Some(4));
}
