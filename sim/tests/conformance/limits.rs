//! Sizes, space and the end of leases: what random requests do not reach.

use etcd_client::proto::{
    PbDeleteRequest, PbLeaseGrantRequest, PbLeaseRevokeRequest, PbPutRequest, PbRangeRequest, PbTxnOpRequest,
    PbTxnRequest, PbTxnRequestOp, PbWatchRequest, PbWatchRequestUnion, PbWatchResponse,
};
use milvus_coord_testbed::etcd::{Etcd, Options};
use tokio::time::{Duration, Instant, timeout};
use tonic::Code;

use super::{
    Twins,
    requests::{Answer, Step, ask},
    wire::Peer,
};

fn put(key: &str, bytes: usize) -> PbPutRequest {
    PbPutRequest { key: key.into(), value: vec![b'x'; bytes], ..Default::default() }
}

fn txn(puts: Vec<PbPutRequest>) -> Step {
    let op = |put| PbTxnRequestOp { request: Some(PbTxnOpRequest::RequestPut(put)) };
    Step::Txn(PbTxnRequest { success: puts.into_iter().map(op).collect(), ..Default::default() })
}

fn watch_all(fragment: bool) -> PbWatchRequest {
    let mut union = PbWatchRequestUnion::CreateRequest(Default::default());
    if let PbWatchRequestUnion::CreateRequest(create) = &mut union {
        create.key = vec![0];
        create.range_end = vec![0];
        create.prev_kv = true;
        create.fragment = fragment;
    }
    PbWatchRequest { request_union: Some(union) }
}

async fn next(answers: &mut tonic::Streaming<PbWatchResponse>) -> PbWatchResponse {
    let answer = timeout(Duration::from_secs(10), answers.message()).await.expect("an answer in time");
    answer.expect("the stream goes on").expect("the stream stays open")
}

/// Sizes of the parts in which one transaction's events arrive.
async fn parts(peer: &Peer) -> Vec<(usize, bool)> {
    ask(peer, txn(vec![put("a", 400_000), put("b", 400_000), put("c", 400_000)])).await.expect("fits");
    let opened = peer.stream("/etcdserverpb.Watch/Watch", watch_all(true)).await;
    let (_requests, mut answers) = opened.expect("a watch stream");
    assert!(next(&mut answers).await.created);
    ask(peer, txn(vec![put("a", 500_000), put("b", 500_000), put("c", 500_000)])).await.expect("fits");
    let mut parts = Vec::new();
    loop {
        let answer = next(&mut answers).await;
        parts.push((answer.events.len(), answer.fragment));
        if !answer.fragment {
            return parts;
        }
    }
}

#[tokio::test]
async fn large_answers_are_cut_like_etcds() {
    let twins = Twins::start().await;
    let real = parts(&twins.real).await;
    assert_eq!(parts(&twins.fake).await, real);
    assert_eq!(real, [(2, true), (1, false)]);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let twins = Twins::start().await;
    for step in [Step::Put(put("a", 1_600_000)), txn(vec![put("a", 900_000), put("b", 900_000)])] {
        assert_eq!(twins.ask(step).await.expect("equal answers"), None);
    }
    let many = (0..129).map(|i| put(&format!("{i}"), 1)).collect();
    assert_eq!(twins.ask(txn(many)).await.expect("equal answers"), None);
}

#[tokio::test]
async fn without_space_the_same_things_go_on_working() {
    let server =
        Etcd::start(Options::default().arg("--quota-backend-bytes=2000000")).await.expect("etcd starts");
    let twins = Twins::of(server).await;
    let lease = |id| Step::Grant(PbLeaseGrantRequest { id, ttl: 600 });
    let held = PbPutRequest { lease: 7, ..put("held", 1) };
    for step in [lease(7), Step::Put(held), Step::Put(put("a", 1))] {
        twins.ask(step).await.expect("equal answers").expect("there is space");
    }
    let full = loop {
        let filled = ask(&twins.real, Step::Put(put("filler", 500_000))).await;
        if let Err(failure) = filled {
            break failure;
        }
    };
    assert_eq!(full.code, Code::ResourceExhausted);
    twins.cluster.with(|cluster, _| cluster.set_out_of_space(true));
    // From here on only whether and why it fails is compared: the revisions differ.
    let range = PbRangeRequest { key: b"a".to_vec(), ..Default::default() };
    let read = PbTxnRequestOp { request: Some(PbTxnOpRequest::RequestRange(range.clone())) };
    let delete = PbDeleteRequest { key: b"a".to_vec(), ..Default::default() };
    let remove = PbTxnRequestOp { request: Some(PbTxnOpRequest::RequestDeleteRange(delete.clone())) };
    let steps = [
        (Step::Put(put("a", 1)), false),
        (txn(vec![put("a", 1)]), false),
        (lease(8), false),
        (Step::Range(range), true),
        (Step::KeepAlive(7), true),
        (Step::Txn(PbTxnRequest { success: vec![read, remove], ..Default::default() }), true),
        (Step::Delete(delete), true),
        (Step::Revoke(PbLeaseRevokeRequest { id: 7 }), true),
    ];
    for (step, works) in steps {
        let (real, fake) = (ask(&twins.real, step.clone()).await, ask(&twins.fake, step.clone()).await);
        assert_eq!(fake.as_ref().err(), real.as_ref().err(), "{step:?}");
        assert_eq!(real.is_ok(), works, "{step:?}");
    }
}

/// From the grant of a two-second lease to the end of its key.
async fn lease_lasts(peer: &Peer) -> Duration {
    let opened = peer.stream("/etcdserverpb.Watch/Watch", watch_all(false)).await;
    let (_requests, mut answers) = opened.expect("a watch stream");
    assert!(next(&mut answers).await.created);
    let before = Instant::now();
    let granted = ask(peer, Step::Grant(PbLeaseGrantRequest { id: 5, ttl: 1 })).await;
    assert!(matches!(granted, Ok(Answer::Grant(lease)) if lease.ttl == 2), "the least that etcd grants");
    ask(peer, Step::Put(PbPutRequest { lease: 5, ..put("held", 1) })).await.expect("the lease is there");
    assert_eq!(next(&mut answers).await.events[0].r#type, 0);
    let gone = next(&mut answers).await;
    assert_eq!((gone.events[0].r#type, gone.events[0].prev_kv.is_some()), (1, true));
    let lasted = before.elapsed();
    let renewed = ask(peer, Step::KeepAlive(5)).await;
    assert!(matches!(renewed, Ok(Answer::KeepAlive(answer)) if answer.ttl == 0), "said without an error");
    lasted
}

#[tokio::test]
async fn leases_end_when_etcd_would_end_them() {
    let twins = Twins::start().await;
    let (real, fake) = tokio::join!(lease_lasts(&twins.real), lease_lasts(&twins.fake));
    // Etcd looks each half second; the rest is for a busy machine.
    for lasted in [real, fake] {
        assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&lasted), "{lasted:?}");
    }
}
