//! Sets of changes that are too large for one transaction.
//!
//! Etcd takes at most 128 operations and 128 compares in a transaction, and 1.5 MiB
//! as a whole. A larger set is cut into several, between any two of which the writer
//! may die. So the order matters: what makes the rest visible is written last and
//! removed first, and half a set is never seen as one.

use crate::etcd::{
    store::Write,
    txn::{Guard, Op},
};

/// The most operations, and the most compares, in one transaction (etcd's default).
const MAX_OPS: usize = 128;
/// The most bytes, with room for what the transport adds; etcd's default is 1.5 MiB.
const MAX_BYTES: usize = 1_500_000;
/// What an operation or a compare takes beyond its key and value, generously.
const OVERHEAD: usize = 48;
/// What a key takes that is read when a guard fails.
const READ_OVERHEAD: usize = 16;
/// Room for the fence: one compare and one read of the ACTIVE key.
const FENCE_BYTES: usize = 1_024;

/// One change with what must hold for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is replaced.
    pub guard: Guard,
    /// By what.
    pub op: Op,
}

/// Why a set can't be cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotSplit {
    /// One change is too large for a transaction of its own.
    #[error("{key} takes {bytes} bytes, more than etcd accepts at once")]
    TooLarge {
        /// Its key.
        key: String,
        /// How much it would take.
        bytes: usize,
    },
    /// The second change of a key would fail on the first one's guard.
    #[error("{0} is changed twice")]
    Twice(String),
}

/// An ordered set of changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Must hold for every transaction of the set, for example that the parent is
    /// unchanged. Not for keys that the set itself changes.
    pub guards: Vec<Guard>,
    /// For a creation: children first, the record that makes them visible last.
    pub changes: Vec<Change>,
}

impl Batch {
    /// The transactions that carry it out in its order.
    ///
    /// # Errors
    /// [`CannotSplit`]; nothing has been written then.
    pub fn in_order(self) -> Result<Vec<Write>, CannotSplit> {
        split(&self.guards, self.changes)
    }

    /// The transactions for a removal that is given in the order of the creation: the
    /// record that makes the rest visible goes first.
    ///
    /// # Errors
    /// As [`in_order`](Self::in_order).
    pub fn reversed(mut self) -> Result<Vec<Write>, CannotSplit> {
        self.changes.reverse();
        self.in_order()
    }
}

/// A guard's share of a transaction: its compare, and the read of its key.
fn guard_bytes(guard: &Guard) -> usize {
    let value = match guard {
        Guard::ModIs(..) | Guard::Absent(_) => 0,
        Guard::ValueIs(_, value) | Guard::ValueBelow(_, value) => value.len(),
    };
    2 * guard.key().len() + value + OVERHEAD + READ_OVERHEAD
}

fn change_bytes(change: &Change) -> usize {
    let value = match &change.op {
        Op::Put { value, .. } => value.len(),
        Op::Delete { .. } => 0,
    };
    change.op.key().len() + value + OVERHEAD + guard_bytes(&change.guard)
}

fn split(common: &[Guard], changes: Vec<Change>) -> Result<Vec<Write>, CannotSplit> {
    let mut keys = std::collections::HashSet::new();
    if let Some(twice) = changes.iter().find(|change| !keys.insert(change.op.key())) {
        return Err(CannotSplit::Twice(twice.op.key().to_owned()));
    }
    let common_bytes = FENCE_BYTES + common.iter().map(guard_bytes).sum::<usize>();
    // The fence is one compare more.
    let most = (MAX_OPS - 1).saturating_sub(common.len()).max(1);
    let mut writes = Vec::new();
    let mut write = Write { guards: common.to_vec(), ops: Vec::new() };
    let mut bytes = common_bytes;
    for change in changes {
        let more = change_bytes(&change);
        if common_bytes + more > MAX_BYTES {
            return Err(CannotSplit::TooLarge { key: change.op.key().to_owned(), bytes: more });
        }
        if write.ops.len() == most || bytes + more > MAX_BYTES {
            let next = Write { guards: common.to_vec(), ops: Vec::new() };
            writes.push(std::mem::replace(&mut write, next));
            bytes = common_bytes;
        }
        bytes += more;
        write.guards.push(change.guard);
        write.ops.push(change.op);
    }
    if !write.ops.is_empty() {
        writes.push(write);
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(key: &str, bytes: usize) -> Change {
        Change { guard: Guard::Absent(key.to_owned()), op: Op::put(key, vec![7; bytes]) }
    }

    fn bytes(write: &Write) -> usize {
        let ops: usize = write
            .ops
            .iter()
            .map(|op| match op {
                Op::Put { key, value, .. } => key.len() + value.len(),
                Op::Delete { key } => key.len(),
            })
            .sum();
        ops + write.guards.iter().map(|guard| 2 * guard.key().len()).sum::<usize>()
    }

    #[test]
    fn a_small_set_is_one_transaction() {
        let batch = Batch { guards: vec![], changes: vec![put("a", 1), put("b", 1)] };
        assert_eq!(batch.in_order().unwrap().len(), 1);
        assert_eq!(Batch::default().in_order(), Ok(vec![]));
    }

    #[test]
    fn the_record_is_in_the_last_transaction_and_is_removed_by_the_first() {
        let mut changes: Vec<_> = (0..300).map(|n| put(&format!("child/{n}"), 1)).collect();
        changes.push(put("record", 1));
        let batch = Batch { guards: vec![Guard::Absent("x".into())], changes };
        let writes = batch.clone().in_order().unwrap();
        assert_eq!(writes.len(), 3);
        assert_eq!(writes[2].ops.last().unwrap().key(), "record");
        assert!(writes.iter().all(|write| write.guards[0] == Guard::Absent("x".into())));
        let writes = batch.reversed().unwrap();
        assert_eq!(writes[0].ops[0].key(), "record");
        assert_eq!(writes[2].ops.last().unwrap().key(), "child/0");
    }

    #[test]
    fn what_never_fits_is_named() {
        let batch = Batch { guards: vec![], changes: vec![put("a", 1), put("huge", 1_500_000)] };
        assert!(matches!(batch.in_order(), Err(CannotSplit::TooLarge { key, .. }) if key == "huge"));
        let batch = Batch { guards: vec![], changes: vec![put("a", 1), put("a", 2)] };
        assert_eq!(batch.in_order(), Err(CannotSplit::Twice("a".into())));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_reordered_or_too_large(sizes in prop::collection::vec(
            prop_oneof![20 => 0_usize..100, 1 => 0_usize..700_000],
            0..300,
        )) {
            let changes: Vec<_> =
                sizes.iter().enumerate().map(|(n, size)| put(&format!("key/{n}"), *size)).collect();
            let batch = Batch { guards: vec![Guard::Absent("x".into())], changes: changes.clone() };
            let writes = batch.in_order().unwrap();
            let ops: Vec<_> = writes.iter().flat_map(|write| write.ops.clone()).collect();
            prop_assert_eq!(ops, changes.into_iter().map(|change| change.op).collect::<Vec<_>>());
            for write in &writes {
                prop_assert!(write.ops.len() < MAX_OPS && write.guards.len() < MAX_OPS);
                prop_assert!(bytes(write) <= MAX_BYTES);
            }
        }
    }
}
