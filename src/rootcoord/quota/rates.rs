//! What proxies are told of a collection.

use std::collections::BTreeMap;

use milvus_proto::{common::ErrorCode, internal::RateType, milvus::QuotaState};

use crate::ids::CollectionId;

/// The rate that stands for none; proxies compare with it.
pub const NO_LIMIT: f64 = f64::MAX;

/// What is limited per second: bytes of what is written, vectors that are searched for, queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    /// Bytes inserted.
    Insert,
    /// Bytes upserted.
    Upsert,
    /// Bytes of deletions.
    Delete,
    /// Bytes of imports.
    BulkLoad,
    /// Vectors searched for.
    Search,
    /// Queries.
    Query,
}

impl Rate {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Insert, Self::Upsert, Self::Delete, Self::BulkLoad, Self::Search, Self::Query];
    /// What is writing.
    pub const WRITES: [Self; 4] = [Self::Insert, Self::Upsert, Self::Delete, Self::BulkLoad];
    /// What is reading.
    pub const READS: [Self; 2] = [Self::Search, Self::Query];

    /// On the wire.
    pub fn to_wire(self) -> RateType {
        match self {
            Self::Insert => RateType::DmlInsert,
            Self::Upsert => RateType::DmlUpsert,
            Self::Delete => RateType::DmlDelete,
            Self::BulkLoad => RateType::DmlBulkLoad,
            Self::Search => RateType::DqlSearch,
            Self::Query => RateType::DqlQuery,
        }
    }
}

/// What is denied as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Whatever changes data.
    Writing,
    /// Searches and queries.
    Reading,
}

impl Access {
    /// On the wire.
    pub fn to_wire(self) -> QuotaState {
        match self {
            Self::Writing => QuotaState::DenyToWrite,
            Self::Reading => QuotaState::DenyToRead,
        }
    }
}

/// Why it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// An operator wants it so.
    ForceDeny,
    /// There is too much data.
    DiskQuotaExhausted,
    /// A node's memory is full.
    MemoryQuotaExhausted,
    /// Nodes are too far behind.
    TimeTickLongDelay,
}

impl Reason {
    /// Those that are shown as metrics: what has gone wrong.
    pub const TROUBLE: [Self; 3] =
        [Self::MemoryQuotaExhausted, Self::DiskQuotaExhausted, Self::TimeTickLongDelay];

    /// On the wire. Proxies have a text for each of these codes.
    pub fn to_wire(self) -> ErrorCode {
        match self {
            Self::ForceDeny => ErrorCode::ForceDeny,
            Self::DiskQuotaExhausted => ErrorCode::DiskQuotaExhausted,
            Self::MemoryQuotaExhausted => ErrorCode::MemoryQuotaExhausted,
            Self::TimeTickLongDelay => ErrorCode::TimeTickLongDelay,
        }
    }
}

/// One collection's limits, over all proxies.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CollectionRates {
    /// Per second; [`NO_LIMIT`]: as much as there is. A proxy leaves as it is what is not here.
    pub rates: BTreeMap<Rate, f64>,
    /// What is denied, and why. Without a word here, proxies take a rate of 0 for none.
    pub denied: BTreeMap<Access, Reason>,
}

impl CollectionRates {
    /// Denies it.
    pub(super) fn deny(&mut self, access: Access, reason: Reason) {
        let rates = match access {
            Access::Writing => Rate::WRITES.as_slice(),
            Access::Reading => Rate::READS.as_slice(),
        };
        self.rates.extend(rates.iter().map(|rate| (*rate, 0.0)));
        self.denied.insert(access, reason);
    }
}

/// The limits of all collections that nodes have.
pub type Rates = BTreeMap<CollectionId, CollectionRates>;
