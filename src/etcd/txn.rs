//! Transactions as plain data: what is compared, what is done.

use crate::{
    etcd::call::Header,
    ids::{LeaseId, Revision},
};

/// A key with its value as etcd stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyValue {
    /// Printable in all of Milvus's keys.
    pub key: String,
    /// Raw bytes.
    pub value: Vec<u8>,
    /// When the key came into being.
    pub create_revision: Revision,
    /// When it was last put.
    pub mod_revision: Revision,
    /// The lease that it ends with; 0: none.
    pub lease: LeaseId,
}

/// What must hold of a key for a transaction to be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The key's last put was at this revision.
    ModIs(String, Revision),
    /// The key does not exist.
    Absent(String),
    /// The value, byte for byte, is this. False on a missing key.
    ValueIs(String, Vec<u8>),
    /// The value sorts below this one (big-endian numbers of equal width compare as numbers).
    /// False on a missing key.
    ValueBelow(String, Vec<u8>),
}

impl Guard {
    /// The key that it looks at.
    pub fn key(&self) -> &str {
        match self {
            Self::ModIs(key, _) | Self::Absent(key) | Self::ValueIs(key, _) | Self::ValueBelow(key, _) => key,
        }
    }

    /// Whether it holds of a key that is `found` like this.
    pub fn holds(&self, found: Option<&KeyValue>) -> bool {
        match (self, found) {
            (Self::ModIs(_, revision), found) => found.map_or(Revision(0), |kv| kv.mod_revision) == *revision,
            (Self::Absent(_), found) => found.is_none(),
            (Self::ValueIs(_, value), Some(kv)) => kv.value == *value,
            (Self::ValueBelow(_, value), Some(kv)) => kv.value < *value,
            (Self::ValueIs(..) | Self::ValueBelow(..), None) => false,
        }
    }

    /// The guard for replacing what was read: `Absent` where nothing was.
    pub fn unchanged(key: &str, read: Option<&KeyValue>) -> Self {
        match read {
            Some(kv) => Self::ModIs(key.to_owned(), kv.mod_revision),
            None => Self::Absent(key.to_owned()),
        }
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Put a key, bound to a lease if one is given.
    Put {
        /// Which key.
        key: String,
        /// What it shall hold.
        value: Vec<u8>,
        /// Ends the key when it ends.
        lease: Option<LeaseId>,
    },
    /// Delete one key.
    Delete {
        /// Which key.
        key: String,
    },
}

impl Op {
    /// A put without a lease.
    pub fn put(key: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        Self::Put { key: key.into(), value: value.into(), lease: None }
    }

    /// A delete.
    pub fn delete(key: impl Into<String>) -> Self {
        Self::Delete { key: key.into() }
    }

    /// The key that it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// If all guards hold, the operations are carried out at one revision; else the
/// `otherwise` keys are read, at one revision too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// All must hold.
    pub guards: Vec<Guard>,
    /// Carried out if they do. No key twice: etcd refuses that.
    pub then: Vec<Op>,
    /// Read if one does not.
    pub otherwise: Vec<String>,
}

impl TxnOutcome {
    /// What etcd said of itself.
    pub fn header(&self) -> Header {
        match self {
            Self::Done(header) | Self::GuardFailed(header, _) => *header,
        }
    }
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOutcome {
    /// All guards held; what was put now has the header's revision.
    Done(Header),
    /// One did not; the `otherwise` keys in their order, `None` where missing.
    GuardFailed(Header, Vec<Option<KeyValue>>),
}

impl Op {
    /// Whether `found` is what this operation leaves behind.
    fn is_done(&self, found: Option<&KeyValue>) -> bool {
        match (self, found) {
            (Self::Put { value, lease, .. }, Some(kv)) => {
                *value == kv.value && lease.unwrap_or_default() == kv.lease
            }
            (Self::Delete { .. }, None) => true,
            (Self::Put { .. }, None) | (Self::Delete { .. }, Some(_)) => false,
        }
    }
}

impl Txn {
    /// Whether the operations have been carried out, judged by what their keys hold
    /// now (`found`, in the operations' order): every put key holds its value since
    /// one and the same revision, which lies behind `since` and behind what was
    /// replaced, and every deleted key is gone. Returns that revision; `None` within
    /// if nothing was put.
    ///
    /// `since` is a revision before the transaction was first sent.
    pub fn landed(&self, found: &[Option<KeyValue>], since: Revision) -> Option<Option<Revision>> {
        let mut revision = None;
        for (op, found) in self.then.iter().zip(found) {
            if !op.is_done(found.as_ref()) {
                return None;
            }
            let Some(kv) = found else { continue };
            let replaced_since =
                self.guards.iter().filter(|guard| guard.key() == kv.key).all(|guard| match guard {
                    Guard::ModIs(_, replaced) => kv.mod_revision > *replaced,
                    Guard::Absent(_) => kv.create_revision == kv.mod_revision,
                    Guard::ValueIs(..) | Guard::ValueBelow(..) => true,
                });
            let together = revision.is_none_or(|revision| revision == kv.mod_revision);
            if !replaced_since || !together || kv.mod_revision <= since {
                return None;
            }
            revision = Some(kv.mod_revision);
        }
        Some(revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kv(key: &str, value: &str, created: i64, modified: i64) -> Option<KeyValue> {
        Some(KeyValue {
            key: key.to_owned(),
            value: value.into(),
            create_revision: Revision(created),
            mod_revision: Revision(modified),
            lease: LeaseId(0),
        })
    }

    /// A create, a replacement and a delete.
    fn txn() -> Txn {
        Txn {
            guards: vec![Guard::Absent("a".into()), Guard::ModIs("b".into(), Revision(5))],
            then: vec![Op::put("a", "1"), Op::put("b", "2"), Op::delete("c")],
            otherwise: vec![],
        }
    }

    #[track_caller]
    fn check(found: &[Option<KeyValue>], expected: Option<i64>) {
        let landed = txn().landed(found, Revision(6));
        assert_eq!(landed, expected.map(|revision| Some(Revision(revision))));
    }

    #[test]
    fn an_own_first_attempt_is_recognised() {
        check(&[kv("a", "1", 9, 9), kv("b", "2", 3, 9), None], Some(9));
    }

    #[test]
    fn what_only_looks_like_it_is_not() {
        // Nothing done; half of it; another value; a key that was not deleted.
        check(&[None, kv("b", "x", 3, 5), kv("c", "", 1, 1)], None);
        check(&[kv("a", "1", 9, 9), kv("b", "x", 3, 5), None], None);
        check(&[kv("a", "other", 9, 9), kv("b", "2", 3, 9), None], None);
        check(&[kv("a", "1", 9, 9), kv("b", "2", 3, 9), kv("c", "", 1, 1)], None);
        // Two revisions; not created by that put; the same value as before; before it was sent.
        check(&[kv("a", "1", 9, 9), kv("b", "2", 3, 8), None], None);
        check(&[kv("a", "1", 7, 9), kv("b", "2", 3, 9), None], None);
        check(&[kv("a", "1", 5, 5), kv("b", "2", 3, 5), None], None);
        check(&[kv("a", "1", 6, 6), kv("b", "2", 3, 6), None], None);
    }

    #[test]
    fn a_lease_belongs_to_the_value() {
        let put = Op::Put { key: "a".into(), value: b"1".to_vec(), lease: Some(LeaseId(7)) };
        let txn = Txn { then: vec![put], ..Txn::default() };
        assert_eq!(txn.landed(&[kv("a", "1", 9, 9)], Revision(0)), None);
    }

    #[test]
    fn deletes_alone_have_no_revision() {
        let txn = Txn { then: vec![Op::delete("a")], ..Txn::default() };
        assert_eq!(txn.landed(&[None], Revision(0)), Some(None));
    }
}
