//! Etcd's own errors, with the codes and texts that its clients look at.

use tonic::{Code, Status};

/// A definite no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A request without a key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a key that is not there; an empty operation in a transaction.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// A value together with `ignore_value`.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A lease together with `ignore_lease`.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More than [`txn::MAX_OPS`](super::txn::MAX_OPS).
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A key put twice, or put and deleted, in one branch.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// More than [`txn::MAX_REQUEST_BYTES`](super::txn::MAX_REQUEST_BYTES).
    #[error("etcdserver: request is too large")]
    TooLarge,
    /// The revision is compacted away.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision is not there yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The space quota is used up.
    #[error("etcdserver: mvcc: database space exceeded")]
    NoSpace,
    /// No such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// A lease of that id is there already.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// Beyond [`lease::MAX_TTL`](super::lease::MAX_TTL).
    #[error("etcdserver: too large lease TTL")]
    TtlTooLarge,
    /// The member knows no leader.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// The leader changed while the member waited for it.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The cluster did not answer the member in time. A write may have been applied.
    #[error("etcdserver: request timed out")]
    TimedOut,
    /// Too much waits to be applied.
    #[error("etcdserver: too many requests")]
    TooManyRequests,
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::EmptyKey
            | Refusal::KeyNotFound
            | Refusal::ValueProvided
            | Refusal::LeaseProvided
            | Refusal::TooManyOps
            | Refusal::DuplicateKey
            | Refusal::TooLarge => Code::InvalidArgument,
            Refusal::Compacted | Refusal::FutureRevision | Refusal::TtlTooLarge => Code::OutOfRange,
            Refusal::NoSpace | Refusal::TooManyRequests => Code::ResourceExhausted,
            Refusal::LeaseNotFound => Code::NotFound,
            Refusal::LeaseExists => Code::FailedPrecondition,
            Refusal::NoLeader | Refusal::LeaderChanged | Refusal::TimedOut => Code::Unavailable,
        };
        Self::new(code, refusal.to_string())
    }
}
