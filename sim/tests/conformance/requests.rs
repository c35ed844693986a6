//! Random requests, as plain data, and how they are put to an etcd.

use etcd_client::proto::{
    PbCompactionRequest, PbCompactionResponse, PbCompare, PbDeleteRequest, PbDeleteResponse, PbKeyValue,
    PbLeaseGrantRequest, PbLeaseGrantResponse, PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse,
    PbLeaseRevokeRequest, PbLeaseRevokeResponse, PbLeaseTimeToLiveRequest, PbLeaseTimeToLiveResponse,
    PbPutRequest, PbPutResponse, PbRangeRequest, PbRangeResponse, PbTargetUnion, PbTxnOpRequest,
    PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};
use proptest::prelude::*;

use super::wire::{Failure, Peer, anonymous};

/// A request whose revisions count from the begin of its sequence, and leases from the
/// sequence's first.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Read.
    Range(PbRangeRequest),
    /// Write one key.
    Put(PbPutRequest),
    /// Delete.
    Delete(PbDeleteRequest),
    /// Transaction.
    Txn(PbTxnRequest),
    /// New lease.
    Grant(PbLeaseGrantRequest),
    /// End a lease.
    Revoke(PbLeaseRevokeRequest),
    /// Renew a lease.
    KeepAlive(i64),
    /// Look at a lease.
    TimeToLive(PbLeaseTimeToLiveRequest),
    /// Compact.
    Compact(PbCompactionRequest),
}

/// An answer, without what two clusters can't have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Range(PbRangeResponse),
    Put(PbPutResponse),
    Delete(PbDeleteResponse),
    Txn(PbTxnResponse),
    Grant(PbLeaseGrantResponse),
    Revoke(PbLeaseRevokeResponse),
    KeepAlive(PbLeaseKeepAliveResponse),
    TimeToLive(PbLeaseTimeToLiveResponse),
    Compact(PbCompactionResponse),
}

/// What a sequence's numbers count from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Base {
    /// The revision at its begin.
    pub(crate) revision: i64,
    /// The id of its first lease, less one.
    pub(crate) lease: i64,
}

impl Base {
    fn revision(self, relative: &mut i64) {
        // Zero has a meaning of its own.
        if *relative != 0 {
            *relative += self.revision;
        }
    }

    fn lease(self, relative: &mut i64) {
        if *relative != 0 {
            *relative += self.lease;
        }
    }

    fn range(self, range: &mut PbRangeRequest) {
        self.revision(&mut range.revision);
        self.revision(&mut range.min_mod_revision);
        self.revision(&mut range.max_mod_revision);
        self.revision(&mut range.min_create_revision);
        self.revision(&mut range.max_create_revision);
    }

    /// The request with its numbers as they are sent.
    pub(crate) fn fix(self, mut step: Step) -> Step {
        match &mut step {
            Step::Range(range) => self.range(range),
            Step::Put(put) => self.lease(&mut put.lease),
            Step::Txn(txn) => {
                for compare in &mut txn.compare {
                    match &mut compare.target_union {
                        Some(
                            PbTargetUnion::CreateRevision(revision) | PbTargetUnion::ModRevision(revision),
                        ) => self.revision(revision),
                        Some(PbTargetUnion::Lease(lease)) => self.lease(lease),
                        Some(PbTargetUnion::Version(_) | PbTargetUnion::Value(_)) | None => {}
                    }
                }
                for op in txn.success.iter_mut().chain(&mut txn.failure) {
                    match &mut op.request {
                        Some(PbTxnOpRequest::RequestRange(range)) => self.range(range),
                        Some(PbTxnOpRequest::RequestPut(put)) => self.lease(&mut put.lease),
                        _ => {}
                    }
                }
            }
            Step::Grant(grant) => self.lease(&mut grant.id),
            Step::Revoke(revoke) => self.lease(&mut revoke.id),
            Step::KeepAlive(lease) => self.lease(lease),
            Step::TimeToLive(request) => self.lease(&mut request.id),
            Step::Compact(compact) => self.revision(&mut compact.revision),
            Step::Delete(_) => {}
        }
        step
    }
}

/// Puts a request to an etcd.
pub(crate) async fn ask(peer: &Peer, step: Step) -> Result<Answer, Failure> {
    macro_rules! call {
        ($variant:ident, $method:literal, $request:expr) => {{
            let mut answer = peer.call($method, $request).await.map(Answer::$variant)?;
            if let Answer::$variant(answer) = &mut answer {
                anonymous(&mut answer.header);
            }
            Ok(answer)
        }};
    }
    match step {
        Step::Range(request) => {
            let target = request.sort_target;
            let answer = call!(Range, "/etcdserverpb.KV/Range", request);
            answer.map(|answer| match answer {
                Answer::Range(mut answer) => {
                    order_ties(&mut answer.kvs, target);
                    Answer::Range(answer)
                }
                other => other,
            })
        }
        Step::Put(request) => call!(Put, "/etcdserverpb.KV/Put", request),
        Step::Delete(request) => call!(Delete, "/etcdserverpb.KV/DeleteRange", request),
        Step::Txn(request) => call!(Txn, "/etcdserverpb.KV/Txn", request),
        Step::Compact(request) => call!(Compact, "/etcdserverpb.KV/Compact", request),
        Step::Grant(request) => call!(Grant, "/etcdserverpb.Lease/LeaseGrant", request),
        Step::Revoke(request) => call!(Revoke, "/etcdserverpb.Lease/LeaseRevoke", request),
        Step::TimeToLive(request) => {
            let answer = call!(TimeToLive, "/etcdserverpb.Lease/LeaseTimeToLive", request);
            answer.map(|answer| match answer {
                Answer::TimeToLive(mut answer) => {
                    answer.keys.sort();
                    // Real time runs on between the two.
                    answer.ttl = if answer.ttl > 0 { 1 } else { answer.ttl };
                    Answer::TimeToLive(answer)
                }
                other => other,
            })
        }
        Step::KeepAlive(id) => {
            let first = PbLeaseKeepAliveRequest { id };
            let (_requests, mut answers) = peer.stream("/etcdserverpb.Lease/LeaseKeepAlive", first).await?;
            let mut answer: PbLeaseKeepAliveResponse = answers.message().await?.expect("an answer");
            anonymous(&mut answer.header);
            Ok(Answer::KeepAlive(answer))
        }
    }
}

/// Equal ones have no order of their own in etcd: they get the order of their keys.
fn order_ties(kvs: &mut [PbKeyValue], target: i32) {
    let same = |a: &PbKeyValue, b: &PbKeyValue| match target {
        1 => a.version == b.version,
        2 => a.create_revision == b.create_revision,
        3 => a.mod_revision == b.mod_revision,
        4 => a.value == b.value,
        _ => false,
    };
    for ties in kvs.chunk_by_mut(same) {
        ties.sort_by(|a, b| a.key.cmp(&b.key));
    }
}

/// Few keys, so that requests meet; now and then none, which etcd refuses.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => prop::sample::select(vec![&b"a"[..], b"a/1", b"a/2", b"a0", b"b", b"b/1", b"c"]).prop_map(<[u8]>::to_vec),
        1 => Just(Vec::new()),
    ]
}

/// A key, or an interval from it: by prefix, open, backwards.
fn range_end() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => Just(Vec::new()),
        3 => Just(b"a0".to_vec()),
        2 => Just(b"c".to_vec()),
        1 => Just(vec![0]),
        1 => Just(b"a".to_vec()),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        Just(b"1".to_vec()),
        Just(b"2".to_vec()),
        Just(vec![0, 0, 1]),
        Just(vec![0, 2])
    ]
}

fn lease() -> impl Strategy<Value = i64> {
    prop_oneof![6 => Just(0), 4 => 1..4_i64]
}

/// Now, or some revisions around the begin of the sequence.
fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![5 => Just(0), 4 => -2..12_i64]
}

fn bound() -> impl Strategy<Value = i64> {
    prop_oneof![12 => Just(0), 1 => 1..8_i64]
}

prop_compose! {
    fn range()(
        key in key(),
        range_end in range_end(),
        limit in prop_oneof![3 => Just(0), 1 => 1..4_i64, 1 => Just(-1)],
        revision in revision(),
        order in prop_oneof![3 => Just(0), 1 => 0..3],
        target in prop_oneof![3 => Just(0), 1 => 0..5],
        serializable: bool,
        keys_only in prop::bool::weighted(0.1),
        count_only in prop::bool::weighted(0.1),
        bounds in [bound(), bound(), bound(), bound()],
    ) -> PbRangeRequest {
        PbRangeRequest {
            key,
            range_end,
            // Which of several equal ones a limit cuts off is not etcd's promise.
            limit: if target == 0 { limit } else { 0 },
            revision,
            sort_order: order,
            sort_target: target,
            serializable,
            keys_only,
            count_only,
            min_mod_revision: bounds[0],
            max_mod_revision: bounds[1],
            min_create_revision: bounds[2],
            max_create_revision: bounds[3],
        }
    }
}

prop_compose! {
    fn put()(
        key in key(),
        value in value(),
        lease in lease(),
        prev_kv: bool,
        ignore_value in prop::bool::weighted(0.1),
        ignore_lease in prop::bool::weighted(0.1),
        contradictory in prop::bool::weighted(0.2),
    ) -> PbPutRequest {
        PbPutRequest {
            key,
            value: if ignore_value && !contradictory { Vec::new() } else { value },
            lease: if ignore_lease && !contradictory { 0 } else { lease },
            prev_kv,
            ignore_value,
            ignore_lease,
        }
    }
}

prop_compose! {
    fn delete()(key in key(), range_end in range_end(), prev_kv: bool) -> PbDeleteRequest {
        PbDeleteRequest { key, range_end, prev_kv }
    }
}

prop_compose! {
    fn compare()(
        result in 0..4,
        key in key(),
        range_end in prop_oneof![5 => Just(Vec::new()), 1 => range_end()],
        target in prop_oneof![
            (0..4_i64).prop_map(|version| (0, PbTargetUnion::Version(version))),
            revision().prop_map(|revision| (1, PbTargetUnion::CreateRevision(revision))),
            revision().prop_map(|revision| (2, PbTargetUnion::ModRevision(revision))),
            value().prop_map(|value| (3, PbTargetUnion::Value(value))),
            lease().prop_map(|lease| (4, PbTargetUnion::Lease(lease))),
        ],
        mismatched in prop::bool::weighted(0.03),
    ) -> PbCompare {
        let (target, union) = target;
        PbCompare {
            result,
            target: if mismatched { (target + 1) % 5 } else { target },
            key,
            range_end,
            target_union: Some(union),
        }
    }
}

fn operation() -> impl Strategy<Value = PbTxnRequestOp> {
    let operation = prop_oneof![
        2 => range().prop_map(|range| {
            Some(PbTxnOpRequest::RequestRange(PbRangeRequest { sort_target: 0, ..range }))
        }),
        4 => put().prop_map(|put| Some(PbTxnOpRequest::RequestPut(put))),
        2 => delete().prop_map(|delete| Some(PbTxnOpRequest::RequestDeleteRange(delete))),
    ];
    operation.prop_map(|request| PbTxnRequestOp { request })
}

/// A real etcd ends itself when an open-ended delete takes away the key that a put of the
/// same branch wants to find: it overlooked that the two overlap.
fn harmless(mut branch: Vec<PbTxnRequestOp>) -> Vec<PbTxnRequestOp> {
    for op in &mut branch {
        if let Some(PbTxnOpRequest::RequestDeleteRange(delete)) = &mut op.request
            && delete.range_end == [0]
        {
            delete.range_end = b"c".to_vec();
        }
    }
    branch
}

prop_compose! {
    fn txn()(
        compare in prop::collection::vec(compare(), 0..3),
        success in prop::collection::vec(operation(), 0..4),
        failure in prop::collection::vec(operation(), 0..3),
    ) -> PbTxnRequest {
        PbTxnRequest { compare, success: harmless(success), failure: harmless(failure) }
    }
}

/// Any request, those that write more often.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let ttl = prop_oneof![4 => 500..1000_i64, 1 => Just(-3), 1 => Just(i64::MAX)];
    prop_oneof![
        4 => range().prop_map(Step::Range),
        6 => put().prop_map(Step::Put),
        3 => delete().prop_map(Step::Delete),
        8 => txn().prop_map(Step::Txn),
        4 => (1..4_i64, ttl).prop_map(|(id, ttl)| Step::Grant(PbLeaseGrantRequest { id, ttl })),
        1 => (1..4_i64).prop_map(|id| Step::Revoke(PbLeaseRevokeRequest { id })),
        1 => (1..4_i64).prop_map(Step::KeepAlive),
        1 => (1..4_i64, any::<bool>())
            .prop_map(|(id, keys)| Step::TimeToLive(PbLeaseTimeToLiveRequest { id, keys })),
        1 => (-2..12_i64, any::<bool>())
            .prop_map(|(revision, physical)| Step::Compact(PbCompactionRequest { revision, physical })),
    ]
}
