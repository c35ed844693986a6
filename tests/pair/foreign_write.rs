//! Somebody else writes what is rootcoord's.

use std::time::Duration;

use milvus_coord_testbed::{bed::Bed, load::Load};

use crate::bounds::{FAST, PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_window_set_back_by_hand_is_put_right_before_it_can_do_harm() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    let load = Load::under_way(&client, 100, SOON).await;
    let mut store = bed.store().await;
    let window = "by-dev/kv/gid/timestamp";
    store.put(window, 1_u64.to_be_bytes(), None).await.unwrap();
    let put_right = async {
        loop {
            let answer = store.get(window, None).await.unwrap();
            let value = u64::from_be_bytes(answer.kvs()[0].value().try_into().unwrap());
            if value > 1 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), put_right).await.expect("the window is stored anew");
    let killed = first.kill().await;
    second.serves(FAST).await;
    load.success_since(killed, FAST).await;
    let history = load.stop().await;
    history.assert_ordered();
    history.assert_no_failures();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_removed_by_hand_is_gone_for_clients_too_and_named_in_the_log() {
    let bed = Bed::new(PROGRAM).await;
    let (first, second) = bed.pair().await;
    let client = bed.client().await;
    client.create_database("kept").await.unwrap();
    client.create_database("removed").await.unwrap();
    let mut store = bed.store().await;
    let options = etcd_client::GetOptions::new().with_prefix();
    let all = store.get("by-dev/meta/root-coord/database/db-info/", Some(options)).await.unwrap();
    let removed = all.kvs().iter().find(|kv| kv.value().windows(7).any(|part| part == b"removed")).unwrap();
    let key = removed.key_str().unwrap().to_owned();
    let name = key.rsplit('/').next().unwrap().to_owned();
    let options = etcd_client::DeleteOptions::new().with_prefix();
    let snapshots = format!("by-dev/meta/snapshots/root-coord/database/db-info/{name}_ts");
    let both = etcd_client::Txn::new().and_then([
        etcd_client::TxnOp::delete(key, None),
        etcd_client::TxnOp::delete(snapshots, Some(options)),
    ]);
    store.txn(both).await.unwrap();
    let active = if bed.active().await.address == first.address() { &first } else { &second };
    active.says(&format!("db-info/{name}"), SOON).await;
    let gone = async { while client.list_databases().await.unwrap() != ["default", "kept"] {} };
    tokio::time::timeout(SOON, gone).await.expect("memory follows etcd");
    assert!(first.process.ended().is_none() && second.process.ended().is_none());
}
