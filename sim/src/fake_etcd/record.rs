//! What changed the store, when, and on whose behalf: the material of the checks.

use std::{fmt, sync::Arc, time::Duration};

use super::cluster::Proposal;

/// On whose behalf something was written: a process, by a name that its restarts do not share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(Arc<str>);

impl Origin {
    /// The process of that name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Etcd itself, ending leases.
    pub fn etcd() -> Self {
        Self::new("etcd")
    }

    /// Somebody with a command line.
    pub fn operator() -> Self {
        Self::new("operator")
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// By which kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A put outside a transaction.
    Put,
    /// A delete outside a transaction.
    Delete,
    /// A transaction.
    Txn,
    /// A client ended the lease, and with it its keys.
    Revoke(i64),
    /// The lease ran out.
    LeaseOver(i64),
    /// What never changes the store: grants and compactions.
    Other,
}

impl What {
    pub(super) fn of(proposal: &Proposal) -> Self {
        match proposal {
            Proposal::Put(_) => Self::Put,
            Proposal::Delete(_) => Self::Delete,
            Proposal::Txn(_) => Self::Txn,
            Proposal::Revoke(request) => Self::Revoke(request.id),
            Proposal::Grant(_) | Proposal::Compact(_) => Self::Other,
        }
    }
}

/// One revision. Its changes are in the store's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Which.
    pub revision: i64,
    /// When, since the simulation began.
    pub at: Duration,
    /// For whom.
    pub origin: Origin,
    /// How.
    pub what: What,
    /// The store's revision when the proposal set out.
    pub set_out: i64,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { revision, origin, what, set_out, .. } = self;
        write!(f, "revision {revision}: {what:?} of {origin}, sent at {set_out}:")
    }
}
