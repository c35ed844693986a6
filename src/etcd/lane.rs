//! Which member a kind of call goes to, and where it turns to when that one fails.
//!
//! A lane has one *current* connection, which all its calls share. When a call fails
//! on it, the first to notice replaces it by one to the next member; the others find
//! the replacement. A read that waits long gets a *spare* connection beside it, and
//! whichever answers first becomes current.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::etcd::{
    classify::BoxError,
    connections::{Connection, Shared},
};

/// What a connection is for. Each kind has its own, so that a large answer never
/// stands in the way of a keep-alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Leases, proofs, campaigns: small and urgent.
    Control,
    /// Metadata writes.
    Store,
    /// Snapshots and watches.
    Bulk,
}

/// Why a connection could not be opened.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum OpenFailure {
    /// No member there, or none that speaks etcd.
    #[error("{member}: {source}")]
    Failed {
        member: String,
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// User and password are wrong.
    #[error("{0}")]
    Denied(String),
}

impl OpenFailure {
    pub(crate) fn failed(member: String, source: BoxError) -> Self {
        Self::Failed { member, source: source.into() }
    }
}

/// A connection to one member, opened when first used, and never reopened.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) member: usize,
    opened: OnceCell<Result<Connection, OpenFailure>>,
}

impl Slot {
    fn new(member: usize) -> Arc<Self> {
        Arc::new(Self { member, opened: OnceCell::new() })
    }

    /// The connection; all who ask while it is being opened share that attempt and its end.
    pub(crate) async fn connection(&self, shared: &Shared) -> Result<Connection, OpenFailure> {
        self.opened.get_or_init(|| shared.open(self.member)).await.clone()
    }
}

/// The state of one lane.
#[derive(Debug)]
pub(crate) struct Line {
    members: usize,
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    current: Arc<Slot>,
    spare: Option<Arc<Slot>>,
    /// Whose turn it is next.
    next: usize,
}

impl Slots {
    fn fresh(&mut self, members: usize, beside: usize) -> Arc<Slot> {
        if members > 1 && self.next == beside {
            self.next = (self.next + 1) % members;
        }
        let member = self.next;
        self.next = (self.next + 1) % members;
        Slot::new(member)
    }
}

impl Line {
    /// Begins with the first of `members`.
    pub(crate) fn new(members: usize) -> Self {
        let slots = Slots { current: Slot::new(0), spare: None, next: 1 % members };
        Self { members, slots: Mutex::new(slots) }
    }

    pub(crate) fn current(&self) -> Arc<Slot> {
        Arc::clone(&self.slots.lock().current)
    }

    /// A second connection, to another member if there is one.
    pub(crate) fn spare(&self) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        if let Some(spare) = &slots.spare {
            return Arc::clone(spare);
        }
        let beside = slots.current.member;
        let spare = slots.fresh(self.members, beside);
        slots.spare = Some(Arc::clone(&spare));
        spare
    }

    /// `slot` works: from now on it is the current one.
    pub(crate) fn prefer(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        if slots.spare.as_ref().is_some_and(|spare| Arc::ptr_eq(spare, slot)) {
            slots.current = Arc::clone(slot);
            slots.spare = None;
        }
    }

    /// `slot` doesn't work: later calls go to the next member.
    pub(crate) fn give_up(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        if slots.spare.as_ref().is_some_and(|spare| Arc::ptr_eq(spare, slot)) {
            slots.spare = None;
        } else if Arc::ptr_eq(&slots.current, slot) {
            slots.current = match slots.spare.take() {
                Some(spare) => spare,
                None => slots.fresh(self.members, slot.member),
            };
        }
    }

    /// `slot` works no longer, but its member does: the next connection goes there again.
    pub(crate) fn reopen(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        if slots.spare.as_ref().is_some_and(|spare| Arc::ptr_eq(spare, slot)) {
            slots.spare = None;
        } else if Arc::ptr_eq(&slots.current, slot) {
            slots.current = Slot::new(slot.member);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_member_is_followed_by_the_next() {
        let line = Line::new(3);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let slot = line.current();
            seen.push(slot.member);
            line.give_up(&slot);
        }
        assert_eq!(seen, [0, 1, 2, 0]);
    }

    #[test]
    fn only_the_first_complaint_counts() {
        let line = Line::new(3);
        let slot = line.current();
        line.give_up(&slot);
        line.give_up(&slot);
        assert_eq!(line.current().member, 1);
    }

    #[test]
    fn the_spare_goes_elsewhere_and_is_shared_and_takes_over() {
        let line = Line::new(2);
        let spare = line.spare();
        assert_eq!(spare.member, 1);
        assert!(Arc::ptr_eq(&spare, &line.spare()));
        line.prefer(&spare);
        assert!(Arc::ptr_eq(&spare, &line.current()));
        assert_eq!(line.spare().member, 0);
        line.give_up(&spare);
        assert_eq!(line.current().member, 0);
    }

    #[test]
    fn a_single_member_gets_a_new_connection() {
        let line = Line::new(1);
        let slot = line.current();
        let spare = line.spare();
        assert!(!Arc::ptr_eq(&slot, &spare));
        line.give_up(&slot);
        assert!(Arc::ptr_eq(&spare, &line.current()));
        line.reopen(&spare);
        assert!(!Arc::ptr_eq(&spare, &line.current()));
        assert_eq!(line.current().member, 0);
    }
}
