//! etcd set back to an old backup under running instances.

use milvus_coord_testbed::{bed::Bed, session::Session};

use crate::bounds::{LEASE, PROGRAM, SHORT_LEASE, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn the_instances_start_over_from_what_is_there() {
    let mut bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, SHORT_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    client.create_database("before").await.unwrap();
    let old: Vec<i64> =
        bed.sessions().await.all().await.unwrap().iter().map(|session| session.lease).collect();
    bed.etcd.stop(0).unwrap();
    let backup = bed.etcd.back_up().unwrap();
    bed.etcd.start_again(0).await.unwrap();
    for number in 0..20 {
        client.create_database(&format!("lost{number}")).await.unwrap();
    }
    let newest = client.alloc_timestamp(1).await.unwrap();
    bed.etcd.stop(0).unwrap();
    bed.etcd.restore(&backup).unwrap();
    bed.etcd.start_again(0).await.unwrap();

    // Nothing of what etcd does not have may be told any more. The backup has the
    // sessions of its time; they are recognised by their leases.
    let sessions = bed.sessions().await;
    let fresh = |all: &[Session]| all.len() == 3 && all.iter().all(|s| !old.contains(&s.lease));
    sessions.wait("two fresh instances, one of them ACTIVE", SOON, fresh).await;
    let client = client.separate();
    let after = client.alloc_timestamp(1).await.unwrap();
    assert_eq!(client.list_databases().await.unwrap(), ["before", "default"]);
    // Not promised by the windows, which went back, too: the wall clock went on.
    assert!(after.first > newest.first, "{after:?} {newest:?}");
    assert!(first.process.ended().is_none() && second.process.ended().is_none());
}
