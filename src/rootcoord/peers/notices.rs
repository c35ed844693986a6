//! What one proxy shall do, and which of two such wishes makes the other needless.

use crate::{
    ids::CollectionId,
    rootcoord::peers::{Forget, Invalidation, PolicyChange},
    tso::hybrid::Timestamp,
};

/// What a notice is about. Of two about the same only the newer one needs to be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A name of a collection in a database.
    Name {
        /// As in the request.
        database: String,
        /// Of a collection, or an alias.
        name: String,
    },
    /// A collection. Proxies find it by its id in every database.
    Collection(CollectionId),
    /// Users, roles and grants.
    Policy(PolicyChange),
}

/// What a proxy shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// Forget a name.
    Name {
        /// The task's timestamp.
        ts: Timestamp,
        /// As in the request.
        database: String,
        /// Of a collection, or an alias.
        name: String,
    },
    /// Forget a collection.
    Collection {
        /// The task's timestamp.
        ts: Timestamp,
        /// As in the request.
        database: String,
        /// Which one.
        id: CollectionId,
        /// Also the way to its channels.
        dropped: bool,
    },
    /// Look at users, roles and grants anew.
    Policy(PolicyChange),
}

impl Notice {
    /// One per call that has to be made.
    pub(super) fn of(invalidation: Invalidation) -> Vec<Self> {
        let Invalidation { ts, database, what } = invalidation;
        match what {
            Forget::Names(names) => {
                names.into_iter().map(|name| Self::Name { ts, database: database.clone(), name }).collect()
            }
            Forget::Collection(id) => vec![Self::Collection { ts, database, id, dropped: false }],
            Forget::Dropped(id) => vec![Self::Collection { ts, database, id, dropped: true }],
        }
    }

    pub(super) fn subject(&self) -> Subject {
        match self {
            Self::Name { database, name, .. } => {
                Subject::Name { database: database.clone(), name: name.clone() }
            }
            Self::Collection { id, .. } => Subject::Collection(*id),
            Self::Policy(change) => Subject::Policy(*change),
        }
    }

    /// Whether a proxy that has done this needn't do `other`, of the same subject and older.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Collection { dropped, .. }, Self::Collection { dropped: other, .. }) => *dropped || !other,
            _ => true,
        }
    }

    /// Does what `older`, of the same subject, would have done, too.
    pub(super) fn absorb(&mut self, older: &Self) {
        if let (Self::Collection { dropped, .. }, Self::Collection { dropped: true, .. }) = (self, older) {
            *dropped = true;
        }
    }

    /// The method that it is told by.
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Name { .. } | Self::Collection { .. } => Method::Invalidate,
            Self::Policy(_) => Method::Refresh,
        }
    }
}

/// By what proxies are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `InvalidateCollectionMetaCache`
    Invalidate,
    /// `RefreshPolicyInfoCache`
    Refresh,
    /// `GetProxyMetrics`
    Metrics,
    /// `SetRates`
    Rates,
}

impl Method {
    /// As Milvus's errors name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Invalidate => "InvalidateCollectionMetaCache",
            Self::Refresh => "RefreshPolicyInfoCache",
            Self::Metrics => "GetMetrics",
            Self::Rates => "SetRates",
        }
    }
}
