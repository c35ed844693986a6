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

    /// Carries the write out and settles it.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn commit_settled(&self, write: &Write) -> Result<Committed, WriteError> {
        use crate::etcd::txn::{Txn, TxnOutcome};
        let keys: Vec<String> = write.ops.iter().map(|op| op.key().to_owned()).collect();
        let mut otherwise = vec![self.fence.active_key.clone()];
        otherwise.extend(keys.clone());
        let mut guards = vec![self.fence.guard()];
        guards.extend(write.guards.clone());
        let txn = Txn { guards, then: write.ops.clone(), otherwise };
        let mut unknown = false;
        loop {
            if self.term_over.is_cancelled() {
                return Err(WriteError::Deposed(self.fence.epoch));
            }
            match self.etcd.txn(txn.clone(), self.timeout).await {
                Ok(TxnOutcome::Done(header)) => return Ok(Committed { revision: header.revision }),
                Ok(TxnOutcome::GuardFailed(_, mut seen)) => {
                    let active = seen.remove(0);
                    if active.is_none_or(|kv| kv.mod_revision != self.fence.epoch.revision()) {
                        return Err(WriteError::Deposed(self.fence.epoch));
                    }
                    if unknown {
                        let ours = write.ops.iter().zip(&seen).all(|(op, kv)| match (op, kv) {
                            (Op::Put { value, .. }, Some(kv)) => kv.value == *value,
                            (Op::Delete { .. }, None) => true,
                            _ => false,
                        });
                        if let (true, Some(revision)) =
                            (ours, seen.iter().flatten().map(|kv| kv.mod_revision).max())
                        {
                            return Ok(Committed { revision });
                        }
                    }
                    return Err(WriteError::Conflict { keys, seen });
                }
                Err(error) if !error.certainly_not_applied() => unknown = true,
                Err(error) if !unknown => {
                    return Err(match error.refusal() {
                        Some(refusal) => WriteError::Refused(refusal.clone()),
                        None => WriteError::NotSent(error),
                    });
                }
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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

impl crate::etcd::commit::Commit for FencedStore {
    fn commit_settled<'a>(
        &'a self,
        write: &'a Write,
    ) -> crate::net::BoxFuture<'a, Result<Committed, WriteError>> {
        Box::pin(self.commit_settled(write))
    }
}
