//! Writing and reading within a term, as those see it who do it.

use std::fmt;

use crate::{
    etcd::{
        call::{Answer, CallError},
        store::{Committed, Write, WriteError},
        txn::KeyValue,
    },
    net::BoxFuture,
};

/// Takes writes of one term. [`FencedStore`](crate::etcd::store::FencedStore) is the one that counts.
pub trait Commit: Send + Sync + fmt::Debug {
    /// Carries the write out, and settles it if its outcome is unknown: the result is known,
    /// or the term is over.
    ///
    /// # Errors
    /// [`WriteError`]. After an `Unknown` the term is over; every later write ends as `Deposed`.
    fn commit_settled<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Committed, WriteError>>;

    /// What a key holds at a moment after this was called, whatever term there is then.
    ///
    /// # Errors
    /// Etcd does not answer within the time that an attempt to write may take.
    fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Answer<Option<KeyValue>>, CallError>>;
}

#[cfg(test)]
pub(crate) mod memory {
    //! A store in memory with one term, for tests of those who write.

    use std::collections::{BTreeMap, VecDeque};

    use parking_lot::Mutex;
    use tokio::sync::{Notify, Semaphore};

    use super::*;
    use crate::{
        clock::BootInstant,
        etcd::{
            call::{Header, Refusal},
            mirror::MirrorEvent,
            txn::{Guard, Op},
        },
        ids::{Epoch, LeaseId, Revision},
    };

    /// What the next write meets instead of success.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// Etcd can't be reached.
        NotSent,
        /// Etcd takes no puts.
        NoSpace,
        /// Waits for `release`, then goes on.
        Hang,
    }

    #[derive(Debug, Default)]
    struct State {
        revision: i64,
        keys: BTreeMap<String, KeyValue>,
        events: Vec<MirrorEvent>,
        faults: VecDeque<Fault>,
        deposed: bool,
        unreadable: bool,
    }

    #[derive(Debug)]
    pub(crate) struct MemoryStore {
        state: Mutex<State>,
        hanging: Notify,
        released: Semaphore,
    }

    impl Default for MemoryStore {
        fn default() -> Self {
            let state = Mutex::new(State { revision: 100, ..State::default() });
            Self { state, hanging: Notify::new(), released: Semaphore::new(0) }
        }
    }

    impl MemoryStore {
        pub(crate) fn put(&self, key: &str, value: impl Into<Vec<u8>>) -> Revision {
            self.state.lock().apply(&[Op::put(key, value)])
        }

        pub(crate) fn delete(&self, key: &str) -> Revision {
            self.state.lock().apply(&[Op::delete(key)])
        }

        pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
            self.state.lock().keys.get(key).cloned()
        }

        pub(crate) fn keys(&self) -> Vec<KeyValue> {
            self.state.lock().keys.values().cloned().collect()
        }

        pub(crate) fn revision(&self) -> Revision {
            Revision(self.state.lock().revision)
        }

        /// What a mirror would say since the last call.
        pub(crate) fn take_events(&self) -> Vec<MirrorEvent> {
            std::mem::take(&mut self.state.lock().events)
        }

        pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
            self.state.lock().faults.extend(faults);
        }

        pub(crate) fn depose(&self) {
            self.state.lock().deposed = true;
        }

        /// Whether reads fail from now on.
        pub(crate) fn set_unreadable(&self, unreadable: bool) {
            self.state.lock().unreadable = unreadable;
        }

        pub(crate) async fn wait_hanging(&self) {
            self.hanging.notified().await;
        }

        pub(crate) fn release(&self) {
            self.released.add_permits(1);
        }
    }

    impl State {
        fn apply(&mut self, ops: &[Op]) -> Revision {
            self.revision += 1;
            let at = Revision(self.revision);
            for op in ops {
                match op {
                    Op::Put { key, value, .. } => {
                        let create_revision = self.keys.get(key).map_or(at, |kv| kv.create_revision);
                        let kv = KeyValue {
                            key: key.clone(),
                            value: value.clone(),
                            create_revision,
                            mod_revision: at,
                            lease: LeaseId(0),
                        };
                        self.keys.insert(key.clone(), kv.clone());
                        self.events.push(MirrorEvent::Put(kv));
                    }
                    Op::Delete { key } => {
                        if self.keys.remove(key).is_some() {
                            self.events.push(MirrorEvent::Deleted(key.clone(), at));
                        }
                    }
                }
            }
            at
        }

        fn holds(&self, guard: &Guard) -> bool {
            let held = self.keys.get(guard.key());
            match guard {
                Guard::ModIs(_, at) => held.is_some_and(|kv| kv.mod_revision == *at),
                Guard::Absent(_) => held.is_none(),
                Guard::ValueIs(_, value) => held.is_some_and(|kv| kv.value == *value),
                Guard::ValueBelow(_, value) => held.is_some_and(|kv| kv.value < *value),
            }
        }

        fn commit(&mut self, write: &Write) -> Result<Committed, WriteError> {
            if self.deposed {
                return Err(WriteError::Deposed(Epoch(100)));
            }
            if write.guards.iter().all(|guard| self.holds(guard)) {
                return Ok(Committed { revision: self.apply(&write.ops) });
            }
            let keys: Vec<String> = write.guards.iter().map(|guard| guard.key().to_owned()).collect();
            let seen = keys.iter().map(|key| self.keys.get(key).cloned()).collect();
            Err(WriteError::Conflict { keys, seen })
        }
    }

    impl Commit for MemoryStore {
        fn commit_settled<'a>(&'a self, write: &'a Write) -> BoxFuture<'a, Result<Committed, WriteError>> {
            Box::pin(async move {
                // Tests campaign here, too, upon whatever term there is.
                let unguarded = write.unguarded().filter(|key| !key.contains("/session/"));
                assert_eq!(unguarded, None, "put whatever is there");
                let fault = self.state.lock().faults.pop_front();
                match fault {
                    None => {}
                    Some(Fault::NotSent) => {
                        return Err(WriteError::NotSent(CallError::Unreachable {
                            endpoints: "nowhere".to_owned(),
                            source: "refused".into(),
                        }));
                    }
                    Some(Fault::NoSpace) => return Err(WriteError::Refused(Refusal::NoSpace)),
                    Some(Fault::Hang) => {
                        self.hanging.notify_one();
                        self.released.acquire().await.expect("never closed").forget();
                    }
                }
                self.state.lock().commit(write)
            })
        }

        fn read<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Answer<Option<KeyValue>>, CallError>> {
            let state = self.state.lock();
            let header = Header { revision: Revision(state.revision), ..Header::default() };
            let value = state.keys.get(key).cloned();
            let answer = if state.unreadable {
                Err(CallError::Unreachable { endpoints: "nowhere".to_owned(), source: "refused".into() })
            } else {
                Ok(Answer { header, sent: BootInstant::default(), value })
            };
            Box::pin(std::future::ready(answer))
        }
    }
}
