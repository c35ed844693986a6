//! A standby that has missed a great deal.

use milvus_coord_testbed::bed::Bed;

use crate::bounds::{FAST, LEASE, LONG_LEASE, PROGRAM, SOON};

/// How many values it misses, and how large each of them is: more than one message of
/// gRPC carries unless one asks for it.
const MISSED: usize = 80;
const SIZE: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn it_catches_up_with_more_than_one_message_holds() {
    let bed = Bed::new(PROGRAM).await;
    let plan = |name| bed.plan(name).set(LEASE, LONG_LEASE);
    let (first, second) = bed.pair_of(plan("first"), plan("second")).await;
    let client = bed.client().await;
    second.process.freeze().await;
    let mut store = bed.store().await;
    for number in 0..MISSED {
        // As other components write theirs: below the same root.
        let key = format!("by-dev/meta/datacoord-meta/filler/{number}");
        store.put(key, vec![b'x'; SIZE], None).await.unwrap();
    }
    client.create_database("after").await.unwrap();
    second.process.thaw();
    first.kill().await;
    second.serves(FAST + SOON).await;
    assert_eq!(client.list_databases().await.unwrap(), ["after", "default"]);
    let resident = second.process.usage().resident;
    assert!(resident < 600 << 20, "what it does not need it does not keep: {resident} bytes");
}
