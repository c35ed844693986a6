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

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    election::{
        notes::{NoWitness, Witness},
        rules::{Rule, Rules},
    },
    etcd::{
        Etcd,
        call::{Answer, CallError, Refusal},
        commit::Commit,
        lane::Lane,
        ledger::{Ledger, Origin},
        settle::{Repeated, judge},
        txn::{Guard, KeyValue, Op, Txn, TxnOutcome},
    },
    ids::{Epoch, Revision},
    net::BoxFuture,
};

/// The first pause between two attempts to settle, and the longest.
const SETTLE_PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

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
    /// A key that always gets the value of another one needs none of its own.
    pub guards: Vec<Guard>,
    /// The changes, all at one revision.
    pub ops: Vec<Op>,
}

impl Write {
    /// A key that would be put whatever is there.
    pub fn unguarded(&self) -> Option<&str> {
        let guarded = |key: &str| self.guards.iter().any(|guard| guard.key() == key);
        let twin = |own: &[u8]| {
            self.ops
                .iter()
                .any(|other| matches!(other, Op::Put { key, value, .. } if value == own && guarded(key)))
        };
        self.ops.iter().find_map(|op| match op {
            Op::Put { key, value, .. } if !guarded(key) && !twin(value) => Some(key.as_str()),
            Op::Put { .. } | Op::Delete { .. } => None,
        })
    }
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

/// A write that is in etcd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The mod revision of everything that it put.
    pub revision: Revision,
}

/// Writes of one term. Clones share what the term has written.
#[derive(Clone, Debug)]
pub struct FencedStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    etcd: Etcd,
    /// The etcd in which the term was won.
    incarnation: u64,
    fence: Fence,
    term_over: CancellationToken,
    timeout: Duration,
    rules: Rules,
    witness: Arc<dyn Witness>,
    fence_lost: CancellationToken,
    ledger: Mutex<Ledger>,
}

impl FencedStore {
    /// The store of the term that `fence` stands for. `term_over` is cancelled when the
    /// term is over; `timeout` is how long one attempt may take.
    pub fn new(etcd: Etcd, fence: Fence, term_over: CancellationToken, timeout: Duration) -> Self {
        Self::under(Rules::default(), Arc::new(NoWitness), etcd, fence, term_over, timeout)
    }

    /// The same under `rules`: all of them, outside simulations. `witness` is told of
    /// every write that the fence kept out.
    pub fn under(
        rules: Rules,
        witness: Arc<dyn Witness>,
        etcd: Etcd,
        fence: Fence,
        term_over: CancellationToken,
        timeout: Duration,
    ) -> Self {
        let etcd = etcd.on(Lane::Store);
        let inner = Inner {
            incarnation: etcd.incarnation(),
            ledger: Mutex::new(Ledger::new(fence.epoch)),
            etcd,
            fence,
            term_over,
            timeout,
            rules,
            witness,
            fence_lost: CancellationToken::new(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The term's fence.
    pub fn fence(&self) -> &Fence {
        &self.inner.fence
    }

    /// Cancelled as soon as a write finds that the term can't go on: the ACTIVE key is no
    /// longer of this term, or others have written where only this term may, so that an
    /// unknown outcome stays unknown. Often before any watch shows it. The term's owner
    /// ends the term then; no further write is sent.
    pub fn fence_lost(&self) -> &CancellationToken {
        &self.inner.fence_lost
    }

    /// Writes once.
    ///
    /// Every put key needs a guard, and so does a deleted key that could be put again:
    /// an attempt that is carried out late must find that it is no longer wanted.
    ///
    /// # Errors
    /// [`WriteError`]. Dropping the future before its end leaves the outcome unknown.
    ///
    /// # Panics
    /// In debug builds, if a put key has no guard. Otherwise that is an error.
    pub async fn commit(&self, write: Write) -> Result<Committed, WriteError> {
        let attempt = self.prepare(write)?;
        let end = self.first(&attempt).await;
        self.note(&attempt, &end);
        end
    }

    /// Writes, and repeats the identical transaction until its outcome is known.
    ///
    /// # Errors
    /// [`WriteError`]. `Unknown` means that the outcome can't be found out: the term
    /// ended before, or others have changed the keys since, which ends it
    /// ([`fence_lost`](Self::fence_lost)). Every later write ends as `Deposed`.
    ///
    /// # Panics
    /// As [`commit`](Self::commit).
    pub async fn commit_settled(&self, write: Write) -> Result<Committed, WriteError> {
        let attempt = self.prepare(write)?;
        let end = match self.first(&attempt).await {
            Err(WriteError::Unknown(error)) if self.inner.rules.hold(Rule::Settling) => {
                self.settle(&attempt, error).await
            }
            // What is not to be settled is taken for not applied.
            Err(WriteError::Unknown(error)) => Err(WriteError::NotSent(error)),
            end => end,
        };
        self.note(&attempt, &end);
        end
    }

    /// Who put this. Asked of every change of metadata in the mirror, it finds other writers.
    pub fn origin_of_put(&self, kv: &KeyValue) -> Origin {
        self.inner.ledger.lock().origin(&kv.key, Some(&kv.value), kv.mod_revision)
    }

    /// Who deleted that key at that revision.
    pub fn origin_of_delete(&self, key: &str, revision: Revision) -> Origin {
        self.inner.ledger.lock().origin(key, None, revision)
    }

    /// Whether nothing speaks against this put being of this term.
    pub fn is_own(&self, kv: &KeyValue) -> bool {
        self.origin_of_put(kv) != Origin::Foreign
    }

    fn prepare(&self, write: Write) -> Result<Attempt, WriteError> {
        let fence = &self.inner.fence;
        if let Some(problem) = problem(fence, &write) {
            debug_assert!(false, "{problem}");
            return Err(WriteError::Refused(Refusal::Other(problem)));
        }
        let Write { guards: own_guards, ops } = write;
        let guarded: Vec<_> = own_guards.iter().map(|guard| guard.key().to_owned()).collect();
        let unguarded = ops.iter().map(Op::key).filter(|key| !guarded.iter().any(|guarded| guarded == key));
        let mut otherwise = vec![fence.active_key.clone()];
        otherwise.extend(guarded.iter().cloned());
        otherwise.extend(unguarded.map(str::to_owned));
        let mut guards = Vec::with_capacity(own_guards.len() + 1);
        guards.extend(self.inner.rules.hold(Rule::Fence).then(|| fence.guard()));
        guards.extend(own_guards);
        let txn = Arc::new(Txn { guards, then: ops, otherwise });
        let since = self.inner.etcd.newest_revision().max(fence.epoch.revision());
        Ok(Attempt { id: self.inner.ledger.lock().begin(Arc::clone(&txn)), txn, guarded, since })
    }

    fn is_over(&self) -> bool {
        self.inner.term_over.is_cancelled()
            || self.inner.fence_lost.is_cancelled()
            || self.inner.etcd.incarnation() != self.inner.incarnation
    }

    fn deposed(&self) -> WriteError {
        WriteError::Deposed(self.inner.fence.epoch)
    }

    /// Sends the transaction, unless and until the term is over. `None`: it is over.
    async fn send(&self, attempt: &Attempt) -> Option<Result<TxnOutcome, CallError>> {
        let inner = &*self.inner;
        tokio::select! {
            biased;
            () = inner.term_over.cancelled() => None,
            end = inner.etcd.carry_out(&attempt.txn, inner.timeout) => Some(end),
        }
    }

    async fn first(&self, attempt: &Attempt) -> Result<Committed, WriteError> {
        if self.is_over() {
            return Err(self.deposed());
        }
        match self.send(attempt).await {
            None => Err(WriteError::Unknown(ended_meanwhile())),
            Some(Ok(TxnOutcome::Done(header))) => Ok(Committed { revision: header.revision }),
            Some(Ok(TxnOutcome::GuardFailed(_, seen))) => Err(self.guard_failed(attempt, seen)),
            Some(Err(CallError::Refused { refusal, .. })) => Err(WriteError::Refused(refusal)),
            Some(Err(error @ CallError::Unreachable { .. })) => Err(WriteError::NotSent(error)),
            Some(Err(error @ CallError::Unknown { .. })) => Err(WriteError::Unknown(error)),
        }
    }

    /// Nothing of this transaction can be in etcd: which guard was it?
    fn guard_failed(&self, attempt: &Attempt, seen: Vec<Option<KeyValue>>) -> WriteError {
        if !self.still_active(&seen) {
            self.inner.witness.write_refused(self.inner.fence.epoch);
            return self.deposed();
        }
        let keys = attempt.guarded.clone();
        let seen = seen.into_iter().skip(1).take(keys.len()).collect();
        WriteError::Conflict { keys, seen }
    }

    fn still_active(&self, seen: &[Option<KeyValue>]) -> bool {
        let epoch = self.inner.fence.epoch.revision();
        let active = seen.first().and_then(Option::as_ref).is_some_and(|kv| kv.mod_revision == epoch);
        if !active {
            self.inner.fence_lost.cancel();
        }
        active
    }

    async fn settle(&self, attempt: &Attempt, first: CallError) -> Result<Committed, WriteError> {
        let inner = &*self.inner;
        tracing::warn!(error = %first, "etcd write without an answer, settling it");
        let mut pause = SETTLE_PAUSES.0;
        loop {
            tokio::select! {
                biased;
                () = inner.term_over.cancelled() => return Err(WriteError::Unknown(first)),
                () = sleep(pause) => pause = (pause * 2).min(SETTLE_PAUSES.1),
            }
            if inner.etcd.incarnation() != inner.incarnation {
                return Err(WriteError::Unknown(first));
            }
            match self.send(attempt).await {
                None => return Err(WriteError::Unknown(first)),
                Some(Ok(TxnOutcome::Done(header))) => return Ok(Committed { revision: header.revision }),
                Some(Ok(TxnOutcome::GuardFailed(header, seen))) => {
                    let active = self.still_active(&seen);
                    return match judge(&attempt.txn, &seen, attempt.since) {
                        Repeated::Landed(revision) => {
                            Ok(Committed { revision: revision.unwrap_or(header.revision) })
                        }
                        Repeated::Never => Err(self.guard_failed(attempt, seen)),
                        Repeated::Unclear => {
                            inner.fence_lost.cancel();
                            tracing::warn!(
                                active,
                                "etcd write can not be settled, its keys have changed since"
                            );
                            Err(WriteError::Unknown(first))
                        }
                    };
                }
                // No member would have accepted the first attempt either.
                Some(Err(CallError::Refused { refusal: refusal @ Refusal::TooLarge(_), .. })) => {
                    return Err(WriteError::Refused(refusal));
                }
                // Says nothing about the first attempt.
                Some(Err(error)) => tracing::debug!(%error, "etcd write not settled yet"),
            }
        }
    }

    fn note(&self, attempt: &Attempt, end: &Result<Committed, WriteError>) {
        let mut ledger = self.inner.ledger.lock();
        match end {
            Ok(committed) => ledger.committed(attempt.id, committed.revision),
            Err(error) if error.certainly_not_applied() => ledger.not_applied(attempt.id),
            // Stays pending: it may still show up.
            Err(_) => {}
        }
    }
}

/// One write on its way.
#[derive(Debug)]
struct Attempt {
    /// Its number in the ledger.
    id: u64,
    /// What is sent, each time.
    txn: Arc<Txn>,
    /// The keys of its guards, without the fence.
    guarded: Vec<String>,
    /// A revision from before the first time.
    since: Revision,
}

fn ended_meanwhile() -> CallError {
    CallError::Unknown { what: "txn", source: "the term ended meanwhile".into() }
}

/// What is wrong with a write before it is sent.
fn problem(fence: &Fence, write: &Write) -> Option<String> {
    write
        .ops
        .iter()
        .find_map(|op| match op {
            _ if op.key() == fence.active_key => {
                Some(format!("a term never writes its own ACTIVE key {}", op.key()))
            }
            Op::Put { .. } | Op::Delete { .. } => None,
        })
        .or_else(|| write.unguarded().map(|key| format!("put of {key} without a guard")))
}

impl Commit for FencedStore {
    fn commit_settled<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Committed, WriteError>> {
        Box::pin(self.commit_settled(write.clone()))
    }

    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Answer<Option<KeyValue>>, CallError>> {
        Box::pin(self.inner.etcd.read(key, self.inner.timeout))
    }
}
