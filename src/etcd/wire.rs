//! Between this project's transactions and etcd-client's.

use etcd_client::{
    Compare, CompareOp, GetOptions, PutOptions, TxnOp, TxnResponse, WatchResponse, proto::PbKeyValue,
    proto::PbTxnOpResponse,
};

use crate::{
    etcd::{
        connections::header,
        feed::{Change, Message},
        mirror::MirrorEvent,
        txn::{Guard, KeyValue, Op, Txn},
    },
    ids::{LeaseId, Revision},
};

/// `None` for a key that isn't text, which none of Milvus's is.
pub(crate) fn key_value(kv: PbKeyValue) -> Option<KeyValue> {
    Some(KeyValue {
        key: String::from_utf8(kv.key).ok()?,
        value: kv.value,
        create_revision: Revision(kv.create_revision),
        mod_revision: Revision(kv.mod_revision),
        lease: LeaseId(kv.lease),
    })
}

fn compare(guard: &Guard) -> Compare {
    match guard {
        Guard::ModIs(key, revision) => Compare::mod_revision(key.as_str(), CompareOp::Equal, revision.0),
        Guard::Absent(key) => Compare::create_revision(key.as_str(), CompareOp::Equal, 0),
        Guard::ValueIs(key, value) => Compare::value(key.as_str(), CompareOp::Equal, value.as_slice()),
        Guard::ValueBelow(key, value) => Compare::value(key.as_str(), CompareOp::Less, value.as_slice()),
    }
}

fn operation(op: &Op) -> TxnOp {
    match op {
        Op::Put { key, value, lease } => {
            let options = lease.map(|lease| PutOptions::new().with_lease(lease.0));
            TxnOp::put(key.as_str(), value.as_slice(), options)
        }
        Op::Delete { key } => TxnOp::delete(key.as_str(), None),
    }
}

/// Reads those keys.
pub(crate) fn reads<'a>(keys: impl IntoIterator<Item = &'a String>) -> Vec<TxnOp> {
    keys.into_iter().map(|key| TxnOp::get(key.as_str(), Some(GetOptions::new()))).collect()
}

pub(crate) fn txn(txn: &Txn) -> etcd_client::Txn {
    let mut request = etcd_client::Txn::new();
    if !txn.guards.is_empty() {
        request = request.when(txn.guards.iter().map(compare).collect::<Vec<_>>());
    }
    if !txn.then.is_empty() {
        request = request.and_then(txn.then.iter().map(operation).collect::<Vec<_>>());
    }
    if !txn.otherwise.is_empty() {
        request = request.or_else(reads(&txn.otherwise));
    }
    request
}

/// The answers of a transaction's reads, in order; each with whether there is more.
pub(crate) fn ranges(response: TxnResponse) -> impl Iterator<Item = (Vec<PbKeyValue>, bool)> {
    response.0.responses.into_iter().filter_map(|response| match response.response {
        Some(PbTxnOpResponse::ResponseRange(range)) => Some((range.kvs, range.more)),
        _ => None,
    })
}

/// The answers of reads of one key each.
pub(crate) fn single_reads(response: TxnResponse) -> Vec<Option<KeyValue>> {
    ranges(response).map(|(kvs, _)| kvs.into_iter().next().and_then(key_value)).collect()
}

/// A message of a watch.
pub(crate) fn message(response: WatchResponse) -> Message {
    let header = header(response.header());
    let response = response.0;
    let changes = response.events.into_iter().filter_map(|event| {
        let kv = event.kv?;
        let revision = Revision(kv.mod_revision);
        let event = match event.r#type {
            0 => key_value(kv).map(MirrorEvent::Put),
            1 => String::from_utf8(kv.key).ok().map(|key| MirrorEvent::Deleted(key, revision)),
            // A kind that doesn't exist yet.
            _ => None,
        };
        Some(Change { revision, event })
    });
    Message {
        header,
        created: response.created,
        canceled: response.canceled.then_some(response.cancel_reason),
        compacted: response.compact_revision > 0,
        fragment: response.fragment,
        changes: changes.collect(),
    }
}
