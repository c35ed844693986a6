//! Server ids: drawn once each, also in a crowd, and never guessed.

use std::collections::BTreeSet;

use futures::future::join_all;
use milvus_coord::{
    etcd::{
        keys::Keys,
        server_id::{NoServerId, draw_server_id},
    },
    ids::ServerId,
};
use milvus_coord_testbed::etcd::Etcd as Servers;

use crate::support::{LIMIT, connect, put};

#[tokio::test]
async fn each_process_gets_its_own() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let keys = Keys::new("by-dev", "meta", "kv");
    assert_eq!(draw_server_id(&etcd, &keys, LIMIT).await.unwrap(), ServerId(1));
    let stored = etcd.read("by-dev/meta/session/id", LIMIT).await.unwrap().value.unwrap();
    assert_eq!(stored.value, b"2", "what the next real component reads");

    let crowd = join_all((0..20).map(|_| draw_server_id(&etcd, &keys, LIMIT))).await;
    let drawn: BTreeSet<_> = crowd.into_iter().map(Result::unwrap).collect();
    assert_eq!(drawn, (2..22).map(ServerId).collect());
}

#[tokio::test]
async fn a_counter_that_is_no_number_is_named_and_left_alone() {
    let servers = Servers::single().await.unwrap();
    let etcd = connect(servers.endpoints());
    let keys = Keys::new("by-dev", "meta", "kv");
    put(&servers, "by-dev/meta/session/id", "oops").await;
    let error = draw_server_id(&etcd, &keys, LIMIT).await.unwrap_err();
    assert!(matches!(&error, NoServerId::Unusable { value, .. } if value == "oops"), "{error:?}");
    assert!(error.to_string().contains("by-dev/meta/session/id"));
    let stored = etcd.read("by-dev/meta/session/id", LIMIT).await.unwrap().value.unwrap();
    assert_eq!(stored.value, b"oops");
}
