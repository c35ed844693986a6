//! etcd's history compacted under a standby.

use std::time::Duration;

use milvus_coord_testbed::bed::Bed;
use tokio::task::JoinSet;

use crate::bounds::{FAST, PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_misses_nothing_when_history_is_compacted_all_the_time() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    let mut store = bed.store().await;
    let mut compactor = JoinSet::new();
    compactor.spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(10));
        loop {
            every.tick().await;
            let Ok(answer) = store.get("by-dev", None).await else { return };
            // Fails when nothing has changed since the last time.
            let _ = store.compact(answer.header().unwrap().revision(), None).await;
        }
    });
    let mut expected = vec!["default".to_owned()];
    for number in 0..40 {
        let name = format!("d{number:03}");
        client.create_database(&name).await.unwrap();
        expected.push(name);
    }
    // A standby that stood still while its place in the history was compacted.
    second.process.freeze().await;
    for number in 40..60 {
        let name = format!("d{number:03}");
        client.create_database(&name).await.unwrap();
        expected.push(name);
    }
    client.drop_database("d000").await.unwrap();
    expected.retain(|name| name != "d000");
    second.process.thaw();

    first.kill().await;
    second.serves(FAST + SOON).await;
    expected.sort();
    assert_eq!(client.list_databases().await.unwrap(), expected);
    compactor.shutdown().await;
}
