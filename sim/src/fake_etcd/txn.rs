//! What etcd checks of a request before and while it is applied, and how a
//! transaction is carried out. Nested transactions are refused: nobody here uses them.

use std::collections::BTreeSet;

use etcd_client::proto::{
    PbCompare, PbKeyValue, PbPutRequest, PbResponseOp, PbTargetUnion, PbTxnOpRequest, PbTxnOpResponse,
    PbTxnRequest, PbTxnRequestOp, PbTxnResponse,
};
use prost::Message;

use super::{
    lease::Lessor,
    refusal::Refusal,
    store::{Span, Store, header},
};

/// Compares, or operations of one branch, that a transaction may have.
pub const MAX_OPS: usize = 128;
/// How large a request may be.
pub const MAX_REQUEST_BYTES: usize = 1_572_864;
/// What etcd wraps around a request before it measures it, about.
const ENVELOPE_BYTES: usize = 24;

/// Refuses what is larger than etcd's log entries may be.
///
/// # Errors
/// [`Refusal::TooLarge`].
pub fn check_size(request: &impl Message) -> Result<(), Refusal> {
    if request.encoded_len() + ENVELOPE_BYTES > MAX_REQUEST_BYTES { Err(Refusal::TooLarge) } else { Ok(()) }
}

/// Whether a key is there at all.
///
/// # Errors
/// [`Refusal::EmptyKey`].
pub fn check_key(key: &[u8]) -> Result<(), Refusal> {
    if key.is_empty() { Err(Refusal::EmptyKey) } else { Ok(()) }
}

/// What can be said of a put without looking at the store.
///
/// # Errors
/// [`Refusal::EmptyKey`], [`Refusal::ValueProvided`], [`Refusal::LeaseProvided`].
pub fn check_put(request: &PbPutRequest) -> Result<(), Refusal> {
    check_key(&request.key)?;
    if request.ignore_value && !request.value.is_empty() {
        return Err(Refusal::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(Refusal::LeaseProvided);
    }
    Ok(())
}

/// What can be said of a put when it is applied by itself.
///
/// # Errors
/// [`Refusal::LeaseNotFound`], [`Refusal::KeyNotFound`], in this order.
pub fn check_put_applies(store: &Store, lessor: &Lessor, request: &PbPutRequest) -> Result<(), Refusal> {
    check_lease_is_there(lessor, request)?;
    check_key_is_there(store, request)
}

fn check_lease_is_there(lessor: &Lessor, request: &PbPutRequest) -> Result<(), Refusal> {
    if request.lease != 0 && lessor.get(request.lease).is_none() {
        return Err(Refusal::LeaseNotFound);
    }
    Ok(())
}

fn check_key_is_there(store: &Store, request: &PbPutRequest) -> Result<(), Refusal> {
    if (request.ignore_value || request.ignore_lease) && store.get(&request.key).is_none() {
        return Err(Refusal::KeyNotFound);
    }
    Ok(())
}

/// What can be said of a transaction without looking at the store.
///
/// # Errors
/// What its parts are refused for, [`Refusal::TooManyOps`], [`Refusal::DuplicateKey`].
pub fn check(request: &PbTxnRequest) -> Result<(), Refusal> {
    if request.compare.len().max(request.success.len()).max(request.failure.len()) > MAX_OPS {
        return Err(Refusal::TooManyOps);
    }
    for compare in &request.compare {
        check_key(&compare.key)?;
    }
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(PbTxnOpRequest::RequestRange(range)) => check_key(&range.key)?,
            Some(PbTxnOpRequest::RequestPut(put)) => check_put(put)?,
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => check_key(&delete.key)?,
            Some(PbTxnOpRequest::RequestTxn(_)) | None => return Err(Refusal::KeyNotFound),
        }
    }
    check_overlaps(&request.success)?;
    check_overlaps(&request.failure)
}

/// No key may be put twice, or put and deleted, in one branch. Etcd overlooks deletes
/// without an end: it takes the zero byte that stands for that at its word here.
fn check_overlaps(ops: &[PbTxnRequestOp]) -> Result<(), Refusal> {
    let deleted: Vec<Span> = ops
        .iter()
        .filter_map(|op| match &op.request {
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) if delete.range_end != [0] => {
                Some(Span::new(&delete.key, &delete.range_end))
            }
            _ => None,
        })
        .collect();
    let mut put = BTreeSet::new();
    for op in ops {
        if let Some(PbTxnOpRequest::RequestPut(request)) = &op.request
            && (!put.insert(&request.key) || deleted.iter().any(|span| span.contains(&request.key)))
        {
            return Err(Refusal::DuplicateKey);
        }
    }
    Ok(())
}

/// Whether it only reads: then it does not go through etcd's log.
pub fn is_read_only(request: &PbTxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .all(|op| matches!(op.request, Some(PbTxnOpRequest::RequestRange(_))))
}

/// Whether it needs space: any put in any branch.
pub fn needs_space(request: &PbTxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .any(|op| matches!(op.request, Some(PbTxnOpRequest::RequestPut(_))))
}

/// Whether every read in it may be answered from one member's own state.
pub fn is_serializable(request: &PbTxnRequest) -> bool {
    request
        .success
        .iter()
        .chain(&request.failure)
        .all(|op| matches!(&op.request, Some(PbTxnOpRequest::RequestRange(range)) if range.serializable))
}

/// Carries out a read-only transaction as a member sees it that is at `current`.
///
/// # Errors
/// What its reads are refused for.
pub fn read(store: &Store, request: &PbTxnRequest, current: i64) -> Result<PbTxnResponse, Refusal> {
    let succeeded = request.compare.iter().all(|compare| holds(store, compare, current));
    let ops = if succeeded { &request.success } else { &request.failure };
    check_reads(store, ops, current)?;
    let mut responses = Vec::with_capacity(ops.len());
    for op in ops {
        if let Some(PbTxnOpRequest::RequestRange(range)) = &op.request {
            let response = store.range(range, current)?;
            responses.push(PbResponseOp { response: Some(PbTxnOpResponse::ResponseRange(response)) });
        }
    }
    Ok(PbTxnResponse { header: header(current), succeeded, responses })
}

/// Carries out a transaction: everything at one revision, or nothing.
///
/// # Errors
/// What its operations are refused for when they are applied.
pub fn apply(store: &mut Store, lessor: &Lessor, request: &PbTxnRequest) -> Result<PbTxnResponse, Refusal> {
    let current = store.revision();
    let succeeded = request.compare.iter().all(|compare| holds(store, compare, current));
    let ops = if succeeded { &request.success } else { &request.failure };
    for op in ops {
        if let Some(PbTxnOpRequest::RequestPut(put)) = &op.request {
            // The other way round than for a put by itself.
            check_key_is_there(store, put)?;
            check_lease_is_there(lessor, put)?;
        }
    }
    check_reads(store, ops, current)?;
    let mut responses = Vec::with_capacity(ops.len());
    for op in ops {
        let response = match &op.request {
            Some(PbTxnOpRequest::RequestRange(range)) => {
                PbTxnOpResponse::ResponseRange(store.range(range, store.visible())?)
            }
            Some(PbTxnOpRequest::RequestPut(put)) => PbTxnOpResponse::ResponsePut(store.put(put)),
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => {
                PbTxnOpResponse::ResponseDeleteRange(store.delete(delete))
            }
            Some(PbTxnOpRequest::RequestTxn(_)) | None => continue,
        };
        responses.push(PbResponseOp { response: Some(response) });
    }
    Ok(PbTxnResponse { header: header(store.commit()), succeeded, responses })
}

fn check_reads(store: &Store, ops: &[PbTxnRequestOp], current: i64) -> Result<(), Refusal> {
    for op in ops {
        if let Some(PbTxnOpRequest::RequestRange(range)) = &op.request {
            match range.revision {
                0 => {}
                revision if revision > current => return Err(Refusal::FutureRevision),
                revision if revision < store.compacted() => return Err(Refusal::Compacted),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether one compare holds. A value compare on a missing key never does; any other
/// sees zeros there.
fn holds(store: &Store, compare: &PbCompare, current: i64) -> bool {
    const VALUE: i32 = 3;
    let found = store.scan(&Span::new(&compare.key, &compare.range_end), current);
    if found.is_empty() {
        return compare.target != VALUE && holds_for(compare, &PbKeyValue::default());
    }
    found.into_iter().all(|kv| holds_for(compare, kv))
}

fn holds_for(compare: &PbCompare, kv: &PbKeyValue) -> bool {
    use std::cmp::Ordering;

    // A target without its operand counts as zero, or as an empty value.
    let union = compare.target_union.as_ref();
    let ordering = match compare.target {
        0 => kv.version.cmp(&match union {
            Some(PbTargetUnion::Version(version)) => *version,
            _ => 0,
        }),
        1 => kv.create_revision.cmp(&match union {
            Some(PbTargetUnion::CreateRevision(revision)) => *revision,
            _ => 0,
        }),
        2 => kv.mod_revision.cmp(&match union {
            Some(PbTargetUnion::ModRevision(revision)) => *revision,
            _ => 0,
        }),
        3 => kv.value.as_slice().cmp(match union {
            Some(PbTargetUnion::Value(value)) => value.as_slice(),
            _ => &[],
        }),
        4 => kv.lease.cmp(&match union {
            Some(PbTargetUnion::Lease(lease)) => *lease,
            _ => 0,
        }),
        _ => Ordering::Equal,
    };
    match compare.result {
        0 => ordering == Ordering::Equal,
        1 => ordering == Ordering::Greater,
        2 => ordering == Ordering::Less,
        3 => ordering != Ordering::Equal,
        _ => true,
    }
}
