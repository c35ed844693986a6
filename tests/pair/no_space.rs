//! etcd that has used up its space and takes no writes.

use std::time::Instant;

use etcd_client::{AlarmAction, AlarmType, Client};
use milvus_coord_testbed::{
    bed::Bed,
    etcd::Options,
    load::{Load, Shape},
};

use crate::bounds::{FAST, PROGRAM, SOON};

/// Writes until etcd refuses.
async fn fill(store: &mut Client) {
    for number in 0..64 {
        let written = store.put(format!("filler/{number}"), vec![b'x'; 256 << 10], None).await;
        if let Err(refused) = written {
            assert!(refused.to_string().contains("space exceeded"), "{refused}");
            return;
        }
    }
    panic!("16 MB fit into a quota of 4 MB");
}

/// What an operator does about it.
async fn make_room(store: &mut Client) {
    use etcd_client::{CompactionOptions, DeleteOptions};
    let removed = store.delete("filler/", Some(DeleteOptions::new().with_prefix())).await.unwrap();
    let revision = removed.header().unwrap().revision();
    store.compact(revision, Some(CompactionOptions::new().with_physical())).await.unwrap();
    store.defragment().await.unwrap();
    let alarms = store.alarm(AlarmAction::Get, AlarmType::Nospace, None).await.unwrap();
    for alarm in alarms.alarms() {
        let mut options = etcd_client::AlarmOptions::new();
        options.with_member(alarm.member_id());
        store.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options)).await.unwrap();
    }
}

fn small() -> Options {
    Options::default().arg("--quota-backend-bytes=4194304")
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_fail_with_the_reason_and_service_resumes_when_there_is_room() {
    let bed = Bed::with(PROGRAM, small()).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    client.create_database("before").await.unwrap();
    let mut store = bed.store().await;
    fill(&mut store).await;

    let refused = first.direct().await.unwrap().create_database("during").await.unwrap_err();
    assert!(refused.to_string().contains("space"), "{refused}");
    assert!(first.process.ended().is_none() && second.process.ended().is_none());

    make_room(&mut store).await;
    let room = Instant::now();
    let load = Load::start(&client, Shape::default());
    load.success_since(room, SOON).await;
    load.stop().await.assert_ordered();
    client.create_database("after").await.unwrap();
    assert_eq!(client.list_databases().await.unwrap(), ["after", "before", "default"]);
    assert!(first.process.ended().is_none() && second.process.ended().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_cannot_win_takes_over_as_soon_as_there_is_room() {
    let bed = Bed::with(PROGRAM, small()).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    let before = client.alloc_timestamp(10).await.unwrap();
    let mut store = bed.store().await;
    fill(&mut store).await;
    first.kill().await;
    second.says("space", SOON).await;
    make_room(&mut store).await;
    second.serves(FAST).await;
    let after = client.alloc_timestamp(10).await.unwrap();
    assert!(after.first > before.last());
}
