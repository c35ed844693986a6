//! Which requests may run side by side: those that have no name and no collection in common.
//!
//! A request takes all its locks at once, so none waits while it holds others; who came first
//! goes first wherever two want the same.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::ids::CollectionId;

/// What is locked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Key {
    /// The list of databases.
    Databases,
    /// A database, by name.
    Database(String),
    /// A name of a collection or an alias in a database.
    Name(String, String),
    /// A collection, whatever its name.
    Collection(CollectionId),
}

/// How.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    /// It must stay as it is.
    Shared,
    /// It is changed.
    Exclusive,
}

/// What a request locks: each thing once, in the stronger mode.
pub(super) type Wanted = BTreeMap<Key, Mode>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By key: how it is held, and how often.
    held: HashMap<Key, (Mode, usize)>,
    holders: HashMap<u64, Wanted>,
    /// By order of coming.
    waiting: BTreeMap<u64, (Wanted, oneshot::Sender<()>)>,
}

/// Locks that are held, or waited for. Ends when dropped.
#[derive(Debug)]
pub(super) struct Held {
    locks: Arc<Locks>,
    number: u64,
}

impl Locks {
    /// Waits for all of these, and holds them.
    pub(super) async fn acquire(self: &Arc<Self>, wanted: Wanted) -> Held {
        let (held, granted) = {
            let mut table = self.0.lock();
            table.next += 1;
            let number = table.next;
            let (tell, granted) = oneshot::channel();
            table.waiting.insert(number, (wanted, tell));
            table.grant();
            (Held { locks: Arc::clone(self), number }, granted)
        };
        // Its other end lives in the table as long as `held` does.
        _ = granted.await;
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.locks.0.lock();
        table.waiting.remove(&self.number);
        for key in table.holders.remove(&self.number).unwrap_or_default().into_keys() {
            if let Some((_, count)) = table.held.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    table.held.remove(&key);
                }
            }
        }
        table.grant();
    }
}

impl Table {
    /// Gives those their locks that conflict neither with a holder nor with somebody before them.
    fn grant(&mut self) {
        let mut shared: HashSet<&Key> = HashSet::new();
        let mut exclusive: HashSet<&Key> = HashSet::new();
        let mut ready = Vec::new();
        for (number, (wanted, _)) in &self.waiting {
            let free = wanted.iter().all(|(key, mode)| {
                let held = self.held.get(key).map(|(mode, _)| *mode);
                match mode {
                    Mode::Shared => held != Some(Mode::Exclusive) && !exclusive.contains(key),
                    Mode::Exclusive => held.is_none() && !exclusive.contains(key) && !shared.contains(key),
                }
            });
            for (key, mode) in wanted {
                match mode {
                    Mode::Shared => shared.insert(key),
                    Mode::Exclusive => exclusive.insert(key),
                };
            }
            if free {
                ready.push(*number);
            }
        }
        for number in ready {
            let Some((wanted, tell)) = self.waiting.remove(&number) else { continue };
            for (key, mode) in &wanted {
                self.held.entry(key.clone()).or_insert((*mode, 0)).1 += 1;
            }
            self.holders.insert(number, wanted);
            // Whoever no longer waits drops its `Held`, and with it these.
            _ = tell.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    fn wanted(keys: &[(&str, Mode)]) -> Wanted {
        keys.iter().map(|(name, mode)| (Key::Database((*name).to_owned()), *mode)).collect()
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    use Mode::{Exclusive, Shared};

    #[test]
    fn readers_share_and_a_writer_waits_for_all_of_them() {
        let locks = Arc::new(Locks::default());
        let mut first = Box::pin(locks.acquire(wanted(&[("a", Shared)])));
        let mut second = Box::pin(locks.acquire(wanted(&[("a", Shared), ("b", Exclusive)])));
        let (first, second) = (poll(&mut first).unwrap(), poll(&mut second).unwrap());
        let mut writer = Box::pin(locks.acquire(wanted(&[("a", Exclusive)])));
        assert!(poll(&mut writer).is_none());
        drop(first);
        assert!(poll(&mut writer).is_none());
        drop(second);
        assert!(poll(&mut writer).is_some());
        assert!(locks.0.lock().held.is_empty());
    }

    #[test]
    fn who_came_first_goes_first() {
        let locks = Arc::new(Locks::default());
        let holder = poll(&mut Box::pin(locks.acquire(wanted(&[("a", Shared)])))).unwrap();
        let mut writer = Box::pin(locks.acquire(wanted(&[("a", Exclusive), ("b", Exclusive)])));
        assert!(poll(&mut writer).is_none());
        // Would not conflict with the holder, but with the one who waits.
        let mut late = Box::pin(locks.acquire(wanted(&[("b", Shared)])));
        let mut apart = Box::pin(locks.acquire(wanted(&[("c", Exclusive)])));
        assert!(poll(&mut late).is_none());
        assert!(poll(&mut apart).is_some(), "what has nothing in common goes on");
        drop(holder);
        let writer = poll(&mut writer).unwrap();
        assert!(poll(&mut late).is_none());
        drop(writer);
        assert!(poll(&mut late).is_some());
    }

    #[test]
    fn who_gives_up_waiting_is_in_nobodys_way() {
        let locks = Arc::new(Locks::default());
        let holder = poll(&mut Box::pin(locks.acquire(wanted(&[("a", Exclusive)])))).unwrap();
        let mut gone = Box::pin(locks.acquire(wanted(&[("a", Exclusive), ("b", Exclusive)])));
        assert!(poll(&mut gone).is_none());
        let mut next = Box::pin(locks.acquire(wanted(&[("b", Exclusive)])));
        assert!(poll(&mut next).is_none());
        drop(gone);
        assert!(poll(&mut next).is_some());
        drop(holder);
        assert!(poll(&mut Box::pin(locks.acquire(wanted(&[("a", Exclusive)])))).is_some());
    }
}
