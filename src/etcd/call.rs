//! What a call to etcd can end in, and what its caller may conclude from that.

use std::time::Duration;

use crate::{
    clock::BootInstant,
    ids::{LeaseId, Revision},
};

/// What etcd says of itself in every answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Changes only when another cluster stands behind the address.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// The store's revision when it answered.
    pub revision: Revision,
    /// Rises with each etcd leader; an answer below the highest seen is out of date.
    pub raft_term: u64,
}

/// What etcd answered, and since when that is known to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// Etcd's own words about itself.
    pub header: Header,
    /// The moment before the call that brought this answer was sent: what a
    /// linearizable answer says held at some time after it.
    pub sent: BootInstant,
    /// The answer.
    pub value: T,
}

/// A lease that etcd has granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its id.
    pub lease: LeaseId,
    /// How long it lives without a keep-alive; may be more than was asked for.
    pub ttl: Duration,
}

/// Why a call to etcd brought no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No member could be reached: certainly not applied.
    #[error("no etcd member of {endpoints} can be reached")]
    Unreachable {
        /// The configured endpoints.
        endpoints: String,
        /// What the last attempt met.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Sent, and no answer that settles it: a write may have been applied, or may be later.
    #[error("no answer from etcd to {what}")]
    Unknown {
        /// The call.
        what: &'static str,
        /// What came instead.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Etcd said no: certainly not applied.
    #[error("etcd refused {what}")]
    Refused {
        /// The call.
        what: &'static str,
        /// Which no.
        #[source]
        refusal: Refusal,
    },
}

/// A definite no from etcd.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The lease is over or never was.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// The space quota is used up: puts and lease grants fail, reads, deletes and revokes work.
    #[error("etcd's space quota is used up")]
    NoSpace,
    /// The wanted revision is compacted away.
    #[error("revision is compacted")]
    Compacted,
    /// The wanted revision lies ahead of the store: it was restored from a backup.
    #[error("revision is ahead of the store")]
    FutureRevision,
    /// More operations or bytes than one transaction may have.
    #[error("transaction too large: {0}")]
    TooLarge(String),
    /// User, password or rights.
    #[error("etcd denies access: {0}")]
    Denied(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl CallError {
    /// Etcd certainly did not and will not apply the call.
    pub fn certainly_not_applied(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Refused { .. } => true,
            Self::Unknown { .. } => false,
        }
    }

    /// Which no, if it was a no.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            Self::Unreachable { .. } | Self::Unknown { .. } => None,
        }
    }
}
