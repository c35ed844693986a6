//! What a term has written and what it is writing, so that a change seen in the
//! mirror can be told from one that somebody else made.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    etcd::txn::{Op, Txn},
    ids::{Epoch, Revision},
};

/// How many revisions are remembered: minutes of the busiest writer. The mirror lags
/// behind by milliseconds, or starts over.
const REVISIONS: usize = 65_536;
/// How many writes of unknown outcome are remembered. Each of them should have ended the term.
const PENDING: usize = 4_096;

/// Who made a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This term: it was acknowledged at that revision, or is on its way with that value.
    Own,
    /// It is older than this term.
    BeforeTerm,
    /// So long ago that it is no longer known.
    Forgotten,
    /// Somebody else, in this term.
    Foreign,
}

#[derive(Debug)]
pub(crate) struct Ledger {
    epoch: Revision,
    done: BTreeSet<Revision>,
    /// Everything up to here has been dropped from `done`.
    forgotten: Revision,
    pending: BTreeMap<u64, Arc<Txn>>,
    next: u64,
}

impl Ledger {
    /// The transaction that began the term is its first entry.
    pub(crate) fn new(epoch: Epoch) -> Self {
        let epoch = epoch.revision();
        Self {
            epoch,
            done: BTreeSet::from([epoch]),
            forgotten: Revision(0),
            pending: BTreeMap::new(),
            next: 0,
        }
    }

    /// `txn` is about to be sent. Returns its number.
    pub(crate) fn begin(&mut self, txn: Arc<Txn>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.pending.insert(id, txn);
        if self.pending.len() > PENDING {
            self.pending.pop_first();
        }
        id
    }

    /// That one was carried out.
    pub(crate) fn committed(&mut self, id: u64, revision: Revision) {
        let wrote = self.pending.remove(&id).is_none_or(|txn| !txn.then.is_empty());
        if wrote {
            self.done.insert(revision);
        }
        if self.done.len() > REVISIONS
            && let Some(oldest) = self.done.pop_first()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
    }

    /// That one was not carried out.
    pub(crate) fn not_applied(&mut self, id: u64) {
        self.pending.remove(&id);
    }

    /// Who put `value` under `key`, or deleted it (`None`), at that revision.
    pub(crate) fn origin(&self, key: &str, value: Option<&[u8]>, revision: Revision) -> Origin {
        if self.done.contains(&revision) {
            return Origin::Own;
        }
        if revision < self.epoch {
            return Origin::BeforeTerm;
        }
        let is_it = |op: &Op| match op {
            Op::Put { key: k, value: v, .. } => k == key && Some(v.as_slice()) == value,
            Op::Delete { key: k } => k == key && value.is_none(),
        };
        if self.pending.values().any(|txn| txn.then.iter().any(is_it)) {
            Origin::Own
        } else if revision <= self.forgotten {
            Origin::Forgotten
        } else {
            Origin::Foreign
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn txn(ops: &[Op]) -> Arc<Txn> {
        Arc::new(Txn { then: ops.to_vec(), ..Txn::default() })
    }

    #[test]
    fn tells_own_changes_from_foreign_ones() {
        let mut ledger = Ledger::new(Epoch(10));
        let put = |ledger: &Ledger, revision| ledger.origin("k", Some(b"v"), Revision(revision));
        assert_eq!(put(&ledger, 10), Origin::Own);
        assert_eq!(put(&ledger, 9), Origin::BeforeTerm);
        assert_eq!(put(&ledger, 11), Origin::Foreign);

        let id = ledger.begin(txn(&[Op::put("k", "v"), Op::delete("d")]));
        assert_eq!(put(&ledger, 11), Origin::Own, "the event may come before the answer");
        assert_eq!(ledger.origin("k", Some(b"other"), Revision(11)), Origin::Foreign);
        assert_eq!(ledger.origin("d", None, Revision(11)), Origin::Own);
        assert_eq!(ledger.origin("k", None, Revision(11)), Origin::Foreign);

        ledger.committed(id, Revision(12));
        assert_eq!(put(&ledger, 12), Origin::Own);
        assert_eq!(put(&ledger, 13), Origin::Foreign);
    }

    #[test]
    fn a_write_that_failed_claims_nothing() {
        let mut ledger = Ledger::new(Epoch(10));
        let id = ledger.begin(txn(&[Op::put("k", "v")]));
        ledger.not_applied(id);
        assert_eq!(ledger.origin("k", Some(b"v"), Revision(11)), Origin::Foreign);
    }

    #[test]
    fn a_write_without_operations_has_no_revision() {
        let mut ledger = Ledger::new(Epoch(10));
        let id = ledger.begin(txn(&[]));
        ledger.committed(id, Revision(15));
        assert_eq!(ledger.origin("k", Some(b"v"), Revision(15)), Origin::Foreign);
    }

    #[test]
    fn memory_is_bounded_and_what_was_dropped_is_not_blamed_on_others() {
        let mut ledger = Ledger::new(Epoch(0));
        for n in 0..70_000_u64 {
            let id = ledger.begin(txn(&[Op::delete("d")]));
            ledger.committed(id, Revision(i64::try_from(n).unwrap() * 2 + 1));
        }
        for _ in 0..5_000 {
            ledger.begin(txn(&[Op::delete("d")]));
        }
        assert_eq!((ledger.done.len(), ledger.pending.len()), (REVISIONS, PENDING));
        assert_eq!(ledger.origin("k", None, Revision(3)), Origin::Forgotten);
        assert_eq!(ledger.origin("k", None, Revision(139_999)), Origin::Own);
        assert_eq!(ledger.origin("k", None, Revision(139_998)), Origin::Foreign);
    }
}
