use super::*;
use crate::{
    cli::testing::{Cluster, keys, milvus_session, own_session},
    clock::SystemClock,
};

const ROLE: Role = Role::RootCoord;

fn options(length: Duration) -> PauseOptions {
    PauseOptions { role: ROLE, length, reason: "new kernel".to_owned() }
}

async fn run(cluster: &Cluster, length: Duration) -> String {
    let mut out = Vec::new();
    let exit = pause(&cluster.etcd, &keys(), &SystemClock, options(length), &mut out).await.unwrap();
    assert_eq!(exit, Exit::Done);
    String::from_utf8(out).unwrap()
}

async fn end(cluster: &Cluster) -> String {
    let mut out = Vec::new();
    assert_eq!(resume(&cluster.etcd, &keys(), ROLE, &mut out).await.unwrap(), Exit::Done);
    String::from_utf8(out).unwrap()
}

async fn stored(cluster: &Cluster) -> Option<KeyValue> {
    cluster.etcd.read(&keys().pause(ROLE), LIMIT).await.unwrap().value
}

#[tokio::test]
async fn a_pause_stands_under_a_lease_of_its_length_until_it_is_resumed() {
    let cluster = Cluster::start().await;
    cluster.register(&own_session(3, "10.0.0.3:53100".to_owned()), true).await;
    cluster.register(&milvus_session(9, "10.0.0.9:53100".to_owned()), false).await;
    let text = run(&cluster, Duration::from_secs(1800)).await;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("automatic takeover of rootcoord is paused until 20"), "{text}");
    assert_eq!(lines[1..], ["rootcoord 9 at 10.0.0.9:53100 is milvus/2.3.5 and does not heed it"]);

    let kv = stored(&cluster).await.unwrap();
    let pause = Pause::decode(&kv.value).unwrap();
    assert_eq!((pause.until_ms - pause.since_ms, pause.reason.as_str()), (1_800_000, "new kernel"));
    assert!(!pause.by.is_empty());
    let left = cluster.etcd.time_to_live(kv.lease, LIMIT).await.unwrap().unwrap();
    assert!(left <= Duration::from_secs(1800) && left > Duration::from_secs(1700), "{left:?}");

    assert_eq!(end(&cluster).await, "automatic takeover of rootcoord is resumed\n");
    assert_eq!(stored(&cluster).await, None);
    assert_eq!(cluster.etcd.time_to_live(kv.lease, LIMIT).await.unwrap(), None);
    assert_eq!(end(&cluster).await, "automatic takeover of rootcoord was not paused\n");
}

#[tokio::test]
async fn a_second_pause_replaces_the_first_and_garbage() {
    let cluster = Cluster::start().await;
    let garbage = Op::put(keys().pause(ROLE), b"forever".to_vec());
    cluster.etcd.txn(Txn { then: vec![garbage], ..Txn::default() }, LIMIT).await.unwrap();
    run(&cluster, Duration::from_secs(3600)).await;
    let first = stored(&cluster).await.unwrap();
    run(&cluster, Duration::from_millis(59_500)).await;
    let second = stored(&cluster).await.unwrap();
    assert_eq!(cluster.etcd.time_to_live(first.lease, LIMIT).await.unwrap(), None);
    assert!(Pause::decode(&second.value).unwrap().until_ms < Pause::decode(&first.value).unwrap().until_ms);
    // Garbage is removed, too.
    let garbage = Op::put(keys().pause(ROLE), vec![0xff]);
    cluster.etcd.txn(Txn { then: vec![garbage], ..Txn::default() }, LIMIT).await.unwrap();
    assert_eq!(end(&cluster).await, "automatic takeover of rootcoord is resumed\n");
    assert_eq!(stored(&cluster).await, None);
}
