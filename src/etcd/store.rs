//! The one way to write metadata: a transaction that compares the ACTIVE key's mod
//! revision with this term's epoch, and what it replaces.
//!
//! A write can end in four ways, and they call for different things:
//!
//! | end | what the caller does |
//! |---|---|
//! | committed | goes on |
//! | deposed | stops everything of the term; no undo, no message, no answer |
//! | conflict | somebody else changed what was to be replaced: reads again, or gives up the term |
//! | unknown | settles: repeats the identical transaction until it is known |
//!
//! Repeating is safe because the transaction's guards fail once it, or anything
//! else on those keys, has been applied; a repetition that finds its own values in
//! place was applied the first time. A read that shows "not applied" would settle
//! nothing: the first attempt may still be on its way.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    etcd::{
        Etcd,
        call::{CallError, Refusal},
        txn::{Guard, KeyValue, Op},
    },
    ids::{Epoch, Revision},
};

/// What ties a write to a term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The full name of the ACTIVE key.
    pub active_key: String,
    /// Its mod revision in this term.
    pub epoch: Epoch,
}

impl Fence {
    /// The compare that every transaction of the term carries.
    pub fn guard(&self) -> Guard {
        Guard::ModIs(self.active_key.clone(), self.epoch.revision())
    }
}

/// What shall be changed, and what must still hold for that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// The state that is replaced: one guard for every key of `ops` that could be written twice.
    pub guards: Vec<Guard>,
    /// The changes, all at one revision.
    pub ops: Vec<Op>,
}

/// Why a write did not take place, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The ACTIVE key is no longer of this term: certainly not applied.
    #[error("deposed: the ACTIVE key is no longer of epoch {0}")]
    Deposed(Epoch),
    /// What was to be replaced has changed: certainly not applied.
    #[error("changed in the meantime: {}", keys.join(", "))]
    Conflict {
        /// The guarded keys.
        keys: Vec<String>,
        /// What they hold now, in the guards' order.
        seen: Vec<Option<KeyValue>>,
    },
    /// Etcd refused it: certainly not applied.
    #[error("write refused")]
    Refused(#[source] Refusal),
    /// Etcd could not be reached in time: certainly not applied.
    #[error("write not sent")]
    NotSent(#[source] CallError),
    /// Sent without an answer. Must be settled before anything builds on it.
    #[error("write without an answer")]
    Unknown(#[source] CallError),
}

impl WriteError {
    /// Etcd certainly did not and will not apply the write.
    pub fn certainly_not_applied(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

/// Writes of one term.
#[derive(Clone, Debug)]
pub struct FencedStore {
    etcd: Etcd,
    fence: Fence,
    /// Cancelled when the term is over.
    term_over: CancellationToken,
    /// How long one attempt may take.
    timeout: Duration,
}

impl FencedStore {
    /// The store of the term that `fence` stands for.
    pub fn new(etcd: Etcd, fence: Fence, term_over: CancellationToken, timeout: Duration) -> Self {
        Self { etcd, fence, term_over, timeout }
    }

    /// The term's fence.
    pub fn fence(&self) -> &Fence {
        &self.fence
    }
}

/// A write that is in etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The mod revision of everything that it put.
    pub revision: Revision,
}
