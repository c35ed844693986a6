//! Instances that are started before etcd is there.

use milvus_coord_testbed::{
    bed::Bed,
    etcd::{Etcd, Options},
};

use crate::bounds::{PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn they_wait_and_become_a_pair_when_it_comes() {
    let mut bed = Bed::around(PROGRAM, Etcd::prepare(Options::default()).unwrap());
    let (first, second) = (bed.plan("first").start(), bed.plan("second").start());
    for instance in [&first, &second] {
        // The port opens before etcd answers, but not before etcd was asked for settings.
        instance.says("management listen", SOON).await;
        assert_eq!(instance.http("/healthz").await.unwrap().status, 200, "a restart would not help");
    }
    bed.etcd.spawn(0).unwrap();
    bed.etcd.wait_healthy().await.unwrap();
    let sessions = bed.sessions().await;
    sessions.wait("both to be registered", SOON, |all| all.len() == 3).await;
    bed.client().await.alloc_timestamp(1).await.unwrap();
    for instance in [&first, &second] {
        assert!(instance.process.ended().is_none());
    }
    let address = bed.active().await.address;
    let (active, standby) = if first.address() == address { (first, second) } else { (second, first) };
    active.serves(SOON).await;
    standby.standby().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_waits_ends_at_once_on_sigterm() {
    let bed = Bed::around(PROGRAM, Etcd::prepare(Options::default()).unwrap());
    let waiting = bed.plan("waiting").start();
    waiting.says("etcd", SOON).await;
    waiting.terminate();
    assert_eq!(waiting.process.exit(SOON).await.code, Some(0));
}
